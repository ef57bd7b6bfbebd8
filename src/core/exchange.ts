import type { Authority } from "./authority.ts";
import { Denial, type DenialCode } from "./denial.ts";
import type { Destination } from "./destination.ts";
import type { Fields } from "./fields.ts";
import { type Material, zeroMaterial } from "./material.ts";
import type { MethodClass } from "./method-class.ts";

/**
 * The proofs that the stages of the line hand on. Each class has a private member, so that TypeScript treats it as nominal:
 * an object literal of the same shape is not a proof, and a skipped stage does not compile. Each is made in one place only
 * (`test/core/proofs.test.ts` reads the sources and holds every folder to it).
 */

/** Who the guest is; proven by the listener or a token, never claimed in a body. */
export class Session {
  readonly #proof = "session";
  readonly id: string;
  readonly tenant: string;
  readonly workspace: string;
  readonly subject: string;
  readonly roles: readonly string[];

  private constructor(claims: SessionClaims) {
    this.id = claims.id;
    this.tenant = claims.tenant;
    this.workspace = claims.workspace;
    this.subject = claims.subject;
    this.roles = Object.freeze([...claims.roles]);
  }

  /** Made in `src/session/` only. */
  static prove(claims: SessionClaims): Session {
    return new Session(claims);
  }

  get proof(): string {
    return this.#proof;
  }
}

export interface SessionClaims {
  readonly id: string;
  readonly tenant: string;
  readonly workspace: string;
  readonly subject: string;
  readonly roles: readonly string[];
}

/** The policy's answer for one exchange. Without it nothing is resolved, dialled or sent. */
export class Permit {
  readonly #proof = "permit";
  readonly session: Session;
  readonly authority: Authority;
  readonly destination: Destination;
  /** The `allow` entry that matched, as `allow[2]`, or `report`. */
  readonly rule: string;
  /** In report mode: what would have been denied. Such a permit never carries a credential. */
  readonly wouldDeny: DenialCode | null;
  /** What the exchange may do at the upstream, as far as approvals go. */
  readonly methodClass: MethodClass;

  private constructor(
    session: Session,
    authority: Authority,
    destination: Destination,
    rule: string,
    wouldDeny: DenialCode | null,
    methodClass: MethodClass,
  ) {
    this.session = session;
    this.authority = authority;
    this.destination = destination;
    this.rule = rule;
    this.wouldDeny = wouldDeny;
    this.methodClass = methodClass;
  }

  /** Made in `src/policy/` only. */
  static grant(
    session: Session,
    authority: Authority,
    destination: Destination,
    rule: string,
    wouldDeny: DenialCode | null = null,
    methodClass: MethodClass = "write",
  ): Permit {
    return new Permit(session, authority, destination, rule, wouldDeny, methodClass);
  }

  /** Whether the exchange must hold a live lease before any upstream byte. */
  get needsCredential(): boolean {
    return this.#proof === "permit" && this.destination.credential !== null && this.wouldDeny === null;
  }
}

/** Addresses that were resolved once and checked, in the resolver's order; the only ones that are dialled. */
export class PinnedAddress {
  readonly #proof = "pinned";
  readonly authority: Authority;
  /** Canonical IP texts, at least one. */
  readonly addresses: readonly string[];
  /** Authority and sorted addresses: the pool key. */
  readonly key: string;

  private constructor(authority: Authority, addresses: readonly string[]) {
    this.authority = authority;
    this.addresses = addresses;
    this.key = `${authority.text} ${[...addresses].sort().join(",")}`;
  }

  /** Made by the address guard in `src/policy/` only. */
  static check(authority: Authority, addresses: readonly string[]): PinnedAddress {
    if (addresses.length === 0) throw new Denial("name_unresolved");
    return new PinnedAddress(authority, addresses);
  }

  get proof(): string {
    return this.#proof;
  }
}

/**
 * A name that a parent proxy will resolve: judged by all that shows without resolving it. It holds no address, so that nothing
 * can be dialled on it: what is dialled is the parent, on a pinned address of its own.
 */
export class PinnedName {
  readonly #proof = "name";
  readonly authority: Authority;
  /** The pool key; no key of a `PinnedAddress` is like it. */
  readonly key: string;

  private constructor(authority: Authority) {
    this.authority = authority;
    this.key = `${authority.text} by name`;
  }

  /** Made by the address guard in `src/policy/` only. */
  static check(authority: Authority): PinnedName {
    return new PinnedName(authority);
  }

  get proof(): string {
    return this.#proof;
  }
}

/** What an upstream connection is asked for with. */
export type Pinned = PinnedAddress | PinnedName;

/** The one place that a lease may be used in. */
export interface LeaseScope {
  readonly tenant: string;
  readonly session: string;
  readonly host: string;
  readonly port: number;
}

export interface LeaseTerms {
  readonly id: string;
  readonly credential: string;
  readonly material: Material;
  readonly scope: LeaseScope;
  /** Clock reading (monotonic, ms) from which on the lease is dead. */
  readonly expiresAtMs: number;
  /** Clock reading (monotonic, ms) at which it was granted. */
  readonly grantedAtMs: number;
  readonly maxUses: number | null;
  /** HMAC of the canonical reference: what logs and audit show. */
  readonly resourceRef: string;
  /** The one class of methods that it was approved for; left out: it is bound to none. */
  readonly methodClass?: MethodClass | null;
}

/** A scoped, short credential held in memory only. Dead once expired, revoked or used up; there is no stale lease. */
export class Lease {
  readonly #terms: LeaseTerms;
  #revoked = false;
  #uses = 0;

  private constructor(terms: LeaseTerms) {
    this.#terms = terms;
  }

  /** Made by the keeper in `src/custody/` only, after the scope was re-checked. */
  static grant(terms: LeaseTerms): Lease {
    return new Lease(terms);
  }

  get id(): string {
    return this.#terms.id;
  }
  get credential(): string {
    return this.#terms.credential;
  }
  get scope(): LeaseScope {
    return this.#terms.scope;
  }
  get resourceRef(): string {
    return this.#terms.resourceRef;
  }
  /** The one class of methods that it may be used for, or `null`. */
  get methodClass(): MethodClass | null {
    return this.#terms.methodClass ?? null;
  }
  get expiresAtMs(): number {
    return this.#terms.expiresAtMs;
  }
  get grantedAtMs(): number {
    return this.#terms.grantedAtMs;
  }

  /** @param nowMs monotonic clock */
  isLive(nowMs: number): boolean {
    return !this.#revoked && nowMs < this.#terms.expiresAtMs && !this.isUsedUp;
  }

  get isUsedUp(): boolean {
    return this.#terms.maxUses !== null && this.#uses >= this.#terms.maxUses;
  }

  /** Counts one use ahead of dispatch. `false` when none is left. */
  reserveUse(): boolean {
    if (this.isUsedUp) return false;
    this.#uses++;
    return true;
  }

  /** Gives a reserved use back; only when no byte was sent. */
  returnUse(): void {
    if (this.#uses > 0) this.#uses--;
  }

  /**
   * The material, if this lease may be used for this exchange right now.
   * @throws Denial `lease_unusable` when it is dead or names another session, tenant, authority or class of methods
   */
  materialFor(permit: Permit, nowMs: number): Material {
    const { scope, material } = this.#terms;
    const bound = this.methodClass;
    const fits =
      (bound === null || bound === permit.methodClass) &&
      scope.session === permit.session.id &&
      scope.tenant === permit.session.tenant &&
      scope.host === permit.authority.host &&
      scope.port === permit.authority.port &&
      this.#terms.credential === permit.destination.credential?.name;
    if (!fits) throw new Denial("lease_unusable", { cause: "lease scope differs from the permit" });
    if (this.#revoked || nowMs >= this.#terms.expiresAtMs)
      throw new Denial("lease_unusable", { cause: "lease is not live" });
    return material;
  }

  /** Kills the lease. The bytes are zeroed by the keeper once no exchange can hold them. */
  revoke(): void {
    this.#revoked = true;
    zeroMaterial(this.#terms.material);
  }

  get isRevoked(): boolean {
    return this.#revoked;
  }
}

/** The spoken-out absence of a lease: only for a permit that needs none. There is no other way past the lease stage. */
export class NoLease {
  readonly #proof = "no-lease";

  /** @throws Denial `lease_unusable` when the permit needs a credential */
  static for(permit: Permit): NoLease {
    if (permit.needsCredential) throw new Denial("lease_unusable", { cause: "the destination needs a credential" });
    return NO_LEASE;
  }

  get proof(): string {
    return this.#proof;
  }
}

const NO_LEASE = new NoLease();

/** What the policy decides on: one request as it would be sent. */
export interface Ask {
  readonly method: string;
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  /** Raw origin-form target: path and query as the bytes that came (Latin-1). */
  readonly target: string;
  readonly fields: Fields;
  /** What the exchange becomes once the upstream agrees; left out: nothing else. */
  readonly upgrade?: "websocket" | null;
}

/** The outbound head: what attachments change before it is rendered for the wire. */
export interface OutboundHead {
  readonly method: string;
  target: string;
  readonly fields: Fields;
}
