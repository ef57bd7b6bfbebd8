import { Authority } from "../core/authority.ts";
import type { Clock } from "../core/clock.ts";
import { hostsCover } from "../core/credential.ts";
import {
  type IssueAudit,
  type LeaseGrant,
  LeaseRefusal,
  type LeaseRefusalReason,
  type LeaseRequest,
  type LeaseSession,
} from "../core/custody.ts";
import { Denial } from "../core/denial.ts";
import type { Material } from "../core/material.ts";
import { narrowableOf } from "../core/mint.ts";
import { outsideOf } from "../core/narrow.ts";
import type { Catalogue, CatalogueItem } from "./catalogue.ts";
import { materialFitsWire } from "./material-text.ts";
import type { Minted } from "./minters/minter.ts";
import { resourceRef } from "./reference.ts";
import { SourceError } from "./sources/source.ts";
import { within } from "./within.ts";
import { zeroMaterial } from "../core/material.ts";

/** Who asks for a lease, as the transport proved it. */
export interface Caller {
  /** `embedded`, or the name in the certificate, or the socket. */
  readonly name: string;
  /** Tenants that this caller may lease for; `null` = every tenant. */
  readonly tenants: readonly string[] | null;
}

/** What custody itself knows about a session. @returns why it gets no lease, or `null` */
export type SessionCheck = (caller: Caller, session: LeaseSession) => LeaseRefusalReason | null;

/** The caller is the edge, and its word for a session that it proved is what custody goes by. */
export const edgeVouches: SessionCheck = () => null;

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
  /** Told the cause of every refusal that an operator can mend. Never secret. */
  readonly warn: (text: string) => void;
}

/** A lease that would be dead on arrival is not issued, `ms`. */
const SHORTEST_LEASE_MS = 1_000;

/** Issues leases in one fixed order: session, tenant, scope, mint, record, answer. Each step can only refuse. */
export class Issuer {
  readonly #options: IssuerOptions;
  #catalogue: Catalogue;

  constructor(options: IssuerOptions) {
    this.#options = options;
    this.#catalogue = options.catalogue;
  }

  /**
   * Puts another catalogue in force, for what is being issued at the moment as well. Leases that were issued live on at the
   * edges: they ask anew once they see that the catalogue has changed, at the latest before the lease runs out.
   */
  useCatalogue(next: Catalogue): void {
    const before = this.#catalogue;
    this.#catalogue = next;
    before.closeExcept(next);
  }

  get catalogue(): Catalogue {
    return this.#catalogue;
  }

  /**
   * @param signal the caller is gone or its time is over; what was minted is zeroed
   * @throws LeaseRefusal, recorded like an issue
   */
  async issue(caller: Caller, request: LeaseRequest, signal: AbortSignal): Promise<LeaseGrant> {
    let ref = "";
    try {
      const item = this.#entitled(caller, request);
      ref = resourceRef(this.#options.salt, request.session.tenant, item.reference);
      const grant = await this.#mint(item, request, ref, signal);
      await this.#recordIssue(caller, request, grant);
      return grant;
    } catch (thrown) {
      const refusal = asRefusal(thrown);
      if (refusal.code === "custody_unavailable") this.#options.warn(`${request.credential}: ${refusal.detail}`);
      await this.#recordRefusal(caller, request, ref, refusal.reason);
      throw refusal;
    }
  }

  /** Zeroes what the catalogue holds. */
  close(): void {
    this.#catalogue.close();
  }

  get longestIssueMs(): number {
    return this.#catalogue.longestMintMs;
  }

  /** Session, tenant and scope. @throws LeaseRefusal */
  #entitled(caller: Caller, request: LeaseRequest): CatalogueItem {
    const { session, credential, host, port } = request;
    const unknown = (this.#options.sessions ?? edgeVouches)(caller, session);
    if (unknown !== null) throw new LeaseRefusal(unknown);
    if (!allows(caller.tenants, session.tenant)) throw new LeaseRefusal("caller_not_allowed");
    const item = this.#catalogue.find(credential);
    if (item === undefined) throw new LeaseRefusal("credential_unknown");
    if (!allows(item.entry.tenants, session.tenant)) throw new LeaseRefusal("tenant_not_allowed");
    const authority = Authority.parse(`${host.includes(":") ? `[${host}]` : host}:${port}`, null);
    // Only the one canonical spelling is compared; any other is somebody trying.
    const isCovered = authority !== null && authority.host === host && hostsCover(item.entry.hosts, authority.text);
    if (!isCovered) throw new LeaseRefusal("scope_not_allowed");
    mustBeWithin(item, request);
    return item;
  }

  async #mint(item: CatalogueItem, request: LeaseRequest, ref: string, signal: AbortSignal): Promise<LeaseGrant> {
    const { entry, minter } = item;
    const minted = await within(
      minter.timeoutMs,
      signal,
      (aborted) => minter.mint(request, request.purpose === "rejected", aborted),
      (late) => giveBack(late),
    );
    try {
      this.#mustBeInForce(item);
      const ttlMs = this.#lifeMs(item, minted);
      const material = usable(minted.material, entry.name);
      return {
        leaseId: this.#options.newId(),
        credential: entry.name,
        material,
        ttlMs,
        maxUses: entry.maxUses,
        scope: {
          tenant: request.session.tenant,
          session: request.session.id,
          host: request.host,
          port: request.port,
        },
        resourceRef: ref,
        binding: null,
      };
    } catch (error) {
      giveBack(minted);
      throw error;
    }
  }

  /** A reload came while the root was read: what the old entry allowed says nothing any more. */
  #mustBeInForce(item: CatalogueItem): void {
    const { name } = item.entry;
    const now = this.#catalogue.find(name);
    if (now === item) return;
    if (now === undefined) throw new LeaseRefusal("credential_unknown");
    throw new SourceError(
      `credential "${name}" was changed by a reload in this very moment: the next lease is of the new one`,
    );
  }

  /** The credential's own expiry cuts the lease short. */
  #lifeMs({ entry }: CatalogueItem, { expiresAtMs }: Minted): number {
    const longestMs = entry.ttlSeconds * 1000;
    const leftMs = expiresAtMs === null ? longestMs : Math.floor(expiresAtMs - this.#options.clock.monotonicMs());
    if (leftMs < SHORTEST_LEASE_MS) throw new SourceError("what the source gives is about to expire");
    return Math.min(longestMs, leftMs);
  }

  /** No durable record, no lease: the material goes before anybody saw it. */
  async #recordIssue(caller: Caller, request: LeaseRequest, grant: LeaseGrant): Promise<void> {
    try {
      await this.#record(caller, request, grant.resourceRef, grant, null);
    } catch (error) {
      zeroMaterial(grant.material);
      throw new LeaseRefusal("audit_unavailable", textOf(error));
    }
  }

  async #recordRefusal(caller: Caller, request: LeaseRequest, ref: string, reason: LeaseRefusalReason): Promise<void> {
    try {
      await this.#record(caller, request, ref, null, reason);
    } catch (error) {
      // Refused is refused, with or without a record; but the gap in the record must be seen.
      this.#options.warn(`a refusal was not recorded: ${textOf(error)}`);
    }
  }

  #record(
    caller: Caller,
    { session, credential, destination, host, port, purpose, narrow }: LeaseRequest,
    ref: string,
    grant: LeaseGrant | null,
    reason: LeaseRefusalReason | null,
  ): Promise<void> {
    return this.#options.audit.record({
      type: grant === null ? "lease_refused" : "lease_issued",
      wallMs: this.#options.clock.wallMs(),
      caller: caller.name,
      tenant: session.tenant,
      session: session.id,
      subject: session.subject,
      credential,
      destination,
      host,
      port,
      purpose,
      ...(narrow === undefined ? {} : { narrow }),
      leaseId: grant?.leaseId ?? "",
      resourceRef: ref,
      ttlMs: grant?.ttlMs ?? 0,
      reason,
    });
  }
}

/** Scope never widens: what the catalogue has no list for cannot be narrowed, and what is not in its list is more. */
function mustBeWithin({ entry }: CatalogueItem, { narrow }: LeaseRequest): void {
  const outside = narrow === undefined ? null : outsideOf(narrowableOf(entry.mint), narrow);
  if (outside !== null) throw new LeaseRefusal("scope_not_allowed", `narrow.${outside.name} is not within the entry`);
}

/** `null` spells "all"; an empty list means none. */
function allows(tenants: readonly string[] | null, tenant: string): boolean {
  return tenants === null || tenants.includes(tenant);
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

/** An audit's own words: they tell of disks, never of material. */
function textOf(error: unknown): string {
  if (error instanceof Denial) return error.detail ?? error.code;
  return error instanceof Error ? error.message : "unknown error";
}

/** Anything that goes wrong on the way is a refusal; what is not ours keeps its text out of the answer. */
function asRefusal(thrown: unknown): LeaseRefusal {
  if (thrown instanceof LeaseRefusal) return thrown;
  if (thrown instanceof SourceError) return new LeaseRefusal("source_unavailable", thrown.message);
  if (thrown instanceof Denial) return new LeaseRefusal("source_unavailable", thrown.detail ?? thrown.code);
  return new LeaseRefusal("source_unavailable", thrown instanceof Error ? thrown.name : "unknown error");
}
