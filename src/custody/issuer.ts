import { randomBytes } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import {
  type HeldLease,
  type IssueAudit,
  type LeaseGrant,
  LeaseRefusal,
  type LeaseRequest,
  METHOD_CLASS_BINDING,
} from "../core/custody.ts";
import { Denial } from "../core/denial.ts";
import { type Material, zeroMaterial } from "../core/material.ts";
import type { MethodClass } from "../core/method-class.ts";
import type { TenantMounts } from "../core/tenant-mounts.ts";
import { APPROVAL_BOUNDS, Approvals, type TakenApproval } from "./approvals.ts";
import type { Caller, SessionCheck } from "./caller.ts";
import type { Catalogue, CatalogueItem } from "./catalogue.ts";
import { Entitlements } from "./entitlements.ts";
import { IssueRecords } from "./issue-records.ts";
import { Ledger, type LedgerLease } from "./ledger.ts";
import { materialFitsWire } from "./material-text.ts";
import type { Minted } from "./minters/minter.ts";
import { Operations } from "./operations.ts";
import { resourceRef } from "./reference.ts";
import { Revocations } from "./revocations.ts";
import { SignLeases } from "./sign-leases.ts";
import { SourceError } from "./sources/source.ts";
import { within } from "./within.ts";
import { Ending } from "./ending.ts";
import { latestWallMs } from "./latest-wall.ts";

export interface IssuerOptions {
  /** The first one in force. */
  readonly catalogue: Catalogue;
  readonly audit: IssueAudit;
  readonly clock: Clock;
  /** A new unguessable id a lease. */
  readonly newId: () => string;
  /** Key of resource references; at least 16 random bytes. */
  readonly salt: Uint8Array;
  readonly sessions?: SessionCheck;
  /** Left out: nothing is revoked, and what is will not outlive the process. */
  readonly revocations?: Revocations;
  /** Where the credentials of each tenant may be kept; `null` or left out: anywhere. */
  readonly tenantMounts?: TenantMounts | null;
  /** Told the cause of every refusal that an operator can mend. Never secret. */
  readonly warn: (text: string) => void;
}

/** A lease that would be dead on arrival is not issued, `ms`. */
const SHORTEST_LEASE_MS = 1_000;

/** No lease lives longer, renewals included, `ms`. */
const LONGEST_LEASE_MS = 15 * 60_000;

/** Issues leases in one fixed order: session, mount and tenant, scope, approval, mint, record, answer. Each step can only refuse. */
export class Issuer {
  readonly ledger: Ledger;
  readonly revocations: Revocations;
  readonly approvals: Approvals;
  readonly operations: Operations;
  readonly #options: IssuerOptions;
  readonly #records: IssueRecords;
  readonly #signing: SignLeases;
  readonly #entitlements: Entitlements;
  readonly #ending = new Ending();

  constructor(options: IssuerOptions) {
    const { clock, audit } = options;
    this.#options = options;
    // What it says now counts for what is read later, whatever it says by then.
    latestWallMs(clock);
    this.#signing = new SignLeases(options.clock, options.warn);
    this.#records = new IssueRecords(options);
    this.ledger = new Ledger(clock);
    this.revocations = options.revocations ?? Revocations.inMemory({ clock, randomBytes });
    this.approvals = new Approvals(
      clock,
      () => randomBytes(6).toString("hex"),
      APPROVAL_BOUNDS,
      // How many wait is bounded, and so are these lines.
      ({ id, credential }) =>
        options.warn(
          `${credential}: approval ${id} waits for an operator: postern custody approve ${id} --socket PATH, or deny`,
        ),
    );
    const { ledger, revocations, approvals } = this;
    this.operations = new Operations({ ledger, revocations, approvals, audit });
    const { catalogue, tenantMounts = null, sessions } = options;
    this.#entitlements = new Entitlements({ catalogue, tenantMounts, revocations, sessions });
  }

  /**
   * Puts another catalogue and other mounts of the tenants in force, for what is being issued at the moment as well. Leases that were issued live on at the
   * edges: they ask anew once they see that the catalogue has changed, at the latest before the lease runs out.
   */
  useCatalogue(next: Catalogue, tenantMounts?: TenantMounts | null): void {
    const before = this.catalogue;
    this.#entitlements.use(next, tenantMounts);
    // A yes was to a lease of the entry as it was then.
    this.approvals.dropWhere(({ credential }) => before.find(credential) !== next.find(credential));
    before.closeExcept(next);
  }

  get catalogue(): Catalogue {
    return this.#entitlements.catalogue;
  }

  /**
   * @param signal the caller is gone or its time is over; what was minted is zeroed
   * @throws LeaseRefusal, recorded like an issue
   */
  async issue(caller: Caller, request: LeaseRequest, signal: AbortSignal): Promise<LeaseGrant> {
    latestWallMs(this.#options.clock);
    const known = { ref: "", leaseId: "" };
    let approval: TakenApproval | null = null;
    try {
      const item = this.#entitlements.of(caller, request);
      known.ref = resourceRef(this.#options.salt, request.session.tenant, item.reference);
      if (item.entry.approval) approval = this.approvals.take(caller.name, request);
      const issued = await this.#mint(item, request, known.ref, signal);
      known.leaseId = issued.grant.leaseId;
      const grant = await this.#settle(caller, request, item, issued);
      approval?.spend();
      return grant;
    } catch (thrown) {
      approval?.giveBack();
      const refusal = asRefusal(thrown);
      if (refusal.code === "custody_unavailable") this.#options.warn(`${request.credential}: ${refusal.detail}`);
      await this.#records.refused(caller.name, request, known, refusal.reason);
      throw refusal;
    }
  }

  /**
   * Prolongs a lease, up to 15 minutes from its issue in all and never past what its material is good for.
   * @returns its life from now on, `ms`
   * @throws LeaseRefusal when it is not the caller's, not of this session, not live, or not to be had any more
   */
  async renew(caller: Caller, held: HeldLease): Promise<number> {
    const lease = this.#held(caller, held);
    const { credential, place, session } = lease;
    const item = this.#entitlements.of(caller, {
      credential: credential.name,
      host: place.host,
      port: place.port,
      session: { id: session.id, tenant: session.tenant.name, workspace: "", subject: lease.subject },
    });
    const { entry } = item;
    // Its material is what the entry gave then, from another root perhaps, or for more than it gives now.
    if (lease.item !== item) throw new LeaseRefusal("lease_at_its_end");
    // A yes was to one lease of the life that it had then.
    if (entry.approval || place.methodClass !== null) throw new LeaseRefusal("approval_pending");
    const longestMs = entry.ttlSeconds * 1000;
    const lifeMs = this.ledger.renewable(lease, longestMs);
    if (lifeMs < SHORTEST_LEASE_MS || lease.expiresAt === lease.latest) throw new LeaseRefusal("lease_at_its_end");
    await this.#records.changed("lease_renewed", lease, lifeMs);
    // It may have ended while the record was written.
    this.#mustBeLive(lease);
    return this.ledger.renew(lease, longestMs);
  }

  /** Ends a lease that its holder needs no longer. @throws LeaseRefusal as `renew` */
  async release(caller: Caller, held: HeldLease): Promise<void> {
    const lease = this.#held(caller, held);
    await this.#records.changed("lease_released", lease, 0);
    this.#mustBeLive(lease);
    this.ledger.release(lease);
  }

  /** A grant that nobody took: its caller was gone. Its material is zeroed by whoever has it. */
  abandon({ leaseId }: LeaseGrant): void {
    const lease = this.ledger.find(leaseId);
    if (lease === undefined) return;
    this.ledger.release(lease);
    this.#records.changed("lease_released", lease, 0).catch((error: unknown) => {
      this.#options.warn(`a lease that nobody took was ended without a record: ${asRefusal(error).detail}`);
    });
  }

  /** A proof by the key of a lease that is kept here. @throws LeaseRefusal as `SignLeases.sign` */
  sign(caller: Caller, leaseId: string, input: string): string {
    const lease = this.ledger.find(leaseId);
    if (lease === undefined || lease.caller !== caller.name || !this.ledger.isLive(lease))
      throw new LeaseRefusal("lease_unknown");
    // Each proof is a use: who may not lease for the tenant any more does not go on with what was leased.
    if (!this.#entitlements.mayServe(caller, lease.session.tenant.name, lease.credential.name))
      throw new LeaseRefusal("lease_unknown");
    return this.#signing.sign(caller.name, leaseId, input);
  }

  /** Custody is going to end: edges that follow are told what ends with it, and nobody waits for news any more. */
  beginEnding(): void {
    this.revocations.feed.close(this.#ending.begin(this.catalogue, this.ledger));
  }

  /** Zeroes what the catalogue holds. */
  close(): void {
    this.#signing.close();
    this.catalogue.close();
  }

  get longestIssueMs(): number {
    return this.catalogue.longestMintMs;
  }

  /** A lease that the caller holds and that is live. @throws LeaseRefusal */
  #held(caller: Caller, { leaseId, session, tenant }: HeldLease): LedgerLease {
    const lease = this.ledger.find(leaseId);
    // Somebody else's is not told from one that never was.
    if (lease === undefined || lease.caller !== caller.name) throw new LeaseRefusal("lease_unknown");
    if (lease.session.id !== session || lease.session.tenant.name !== tenant)
      throw new LeaseRefusal("session_mismatch");
    this.#mustBeLive(lease);
    return lease;
  }

  #mustBeLive(lease: LedgerLease): void {
    const { session, credential, id } = lease;
    this.#entitlements.mustNotBeRevoked({ id: session.id, tenant: session.tenant.name }, credential.name, id);
    if (lease.state === "revoked") throw new LeaseRefusal("lease_revoked");
    if (!this.ledger.isLive(lease)) throw new LeaseRefusal("lease_expired");
  }

  async #mint(item: CatalogueItem, request: LeaseRequest, ref: string, signal: AbortSignal): Promise<Issued> {
    const { entry, minter } = item;
    const minted = await within(
      minter.timeoutMs,
      signal,
      (aborted) => minter.mint(request, request.purpose === "rejected", aborted),
      (late) => giveBack(late),
    );
    try {
      this.#entitlements.mustBeInForce(item, request.session.tenant);
      const longestMs = this.#longestMs(minted);
      const material = usable(minted.material, entry.name);
      const { tenant, id: session } = request.session;
      const grant: LeaseGrant = {
        leaseId: this.#options.newId(),
        credential: entry.name,
        material,
        ttlMs: Math.min(entry.ttlSeconds * 1000, longestMs),
        maxUses: entry.maxUses,
        scope: { tenant, session, host: request.host, port: request.port },
        resourceRef: ref,
        binding: entry.approval ? { type: METHOD_CLASS_BINDING, value: request.methodClass } : null,
      };
      return { grant, minted, longestMs, methodClass: entry.approval ? request.methodClass : null };
    } catch (error) {
      giveBack(minted);
      throw error;
    }
  }

  /** No durable record, no lease, and none of what was revoked meanwhile: the material goes before anybody saw it. */
  async #settle(caller: Caller, request: LeaseRequest, item: CatalogueItem, issued: Issued): Promise<LeaseGrant> {
    const { grant: whole, minted, methodClass } = issued;
    const { leaseId: id, resourceRef } = whole;
    const { session, credential, destination, host, port } = request;
    const isInForce = (): boolean => this.#entitlements.isInForce(item);
    let grant = whole;
    let longestMs: number;
    try {
      grant = this.#signing.keep(caller.name, item.entry, whole, issued.longestMs, isInForce);
      await this.#records.issued(caller.name, request, grant);
      this.#entitlements.mustNotBeRevoked(session, credential, id);
      this.#entitlements.mustBeInForce(item, session.tenant);
      // What its material is good for did not wait for a slow disk.
      longestMs = this.#longestMs(minted);
      this.#ending.check(item);
    } catch (error) {
      this.#signing.end(id);
      giveBack(minted);
      throw error;
    }
    const release = grant === whole ? minted.release : this.#endingItsKey(id, minted.release);
    const ttlMs = Math.min(whole.ttlMs, longestMs);
    const terms = { id, caller: caller.name, session, credential, destination, host, port, resourceRef, ttlMs };
    this.ledger.add({ ...terms, item, methodClass, longestMs, release });
    return { ...grant, ttlMs };
  }

  /** The key of a lease goes when the lease does. */
  #endingItsKey(leaseId: string, release: Minted["release"]): () => Promise<void> {
    return async () => {
      this.#signing.end(leaseId);
      await release?.();
    };
  }

  /** The longest life that its own expiry leaves to a lease, `ms`. */
  #longestMs({ expiresAtMs }: Minted): number {
    const { clock } = this.#options;
    const leftMs = expiresAtMs === null ? LONGEST_LEASE_MS : Math.floor(expiresAtMs - clock.monotonicMs());
    if (leftMs < SHORTEST_LEASE_MS)
      throw new SourceError("what the source gives has expired, or is about to: renew it");
    return Math.min(LONGEST_LEASE_MS, leftMs);
  }
}

interface Issued {
  readonly grant: LeaseGrant;
  readonly minted: Minted;
  /** From when it was minted. */
  readonly longestMs: number;
  readonly methodClass: MethodClass | null;
}

/** Nobody is going to use it. */
function giveBack({ material, release }: Minted): void {
  zeroMaterial(material);
  // It owns its outcome and never rejects.
  void release?.();
}

function usable(material: Material, name: string): Material {
  if (materialFitsWire(material)) return material;
  throw new SourceError(`credential "${name}" holds characters that no field can carry: write it as one plain line`);
}

/** Anything that goes wrong on the way is a refusal; what is not ours keeps its text out of the answer. */
function asRefusal(thrown: unknown): LeaseRefusal {
  if (thrown instanceof LeaseRefusal) return thrown;
  if (thrown instanceof SourceError) return new LeaseRefusal("source_unavailable", thrown.message);
  if (thrown instanceof Denial) return new LeaseRefusal("source_unavailable", thrown.detail ?? thrown.code);
  return new LeaseRefusal("source_unavailable", thrown instanceof Error ? thrown.name : "unknown error");
}
