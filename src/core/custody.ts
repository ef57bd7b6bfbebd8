import { Denial, type DenialCode } from "./denial.ts";
import type { LeaseScope } from "./exchange.ts";
import type { Material } from "./material.ts";
import type { MethodClass } from "./method-class.ts";
import type { Narrowing } from "./narrow.ts";
import type { RevocationPage } from "./revocation.ts";

/** The port between the edge and custody: what is asked, what is granted, how it is refused, what is written down. */

/**
 * Why the edge asks. `ahead`: no exchange waits for it yet. `rejected`: the upstream answered 401 to the last lease, so nothing
 * that is cached will do.
 */
export const LEASE_PURPOSES = ["request", "ahead", "refresh", "rejected"] as const;
export type LeasePurpose = (typeof LEASE_PURPOSES)[number];

/** The session as the edge proved it. */
export interface LeaseSession {
  readonly id: string;
  readonly tenant: string;
  readonly workspace: string;
  readonly subject: string;
}

export interface LeaseRequest {
  readonly session: LeaseSession;
  /** Name in the custody's catalogue. */
  readonly credential: string;
  /** Canonical host, as `Authority.host`: IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** Name of the destination, for the record. */
  readonly destination: string;
  readonly purpose: LeasePurpose;
  /** What the lease is narrowed to; absent: as wide as the catalogue says. */
  readonly narrow?: Narrowing;
  /** Of the exchange that asks. Looked at only where somebody has to approve. */
  readonly methodClass: MethodClass;
}

export interface LeaseGrant {
  readonly leaseId: string;
  readonly credential: string;
  /** Belongs to the receiver alone, who zeroes it. */
  readonly material: Material;
  /** Life from the moment of the answer, `ms`. Relative, because the clocks of edge and custody differ. */
  readonly ttlMs: number;
  /** How many exchanges it may serve, or `null`. */
  readonly maxUses: number | null;
  readonly scope: LeaseScope;
  /** HMAC of the canonical reference: what logs and audit show. */
  readonly resourceRef: string;
  /** What else the lease is bound to; a binding that the edge does not know makes the lease unusable. */
  readonly binding: LeaseBinding | null;
}

/** The binding of a lease that was approved: `value` is the one `MethodClass` that it may be used for. */
export const METHOD_CLASS_BINDING = "method_class";

export interface LeaseBinding {
  readonly type: string;
  readonly value: string;
}

/** One custody. Embedded and remote adapters behave alike: one contract test holds both to it. */
export interface CustodyPort {
  /** Longest wait for one answer, `ms`; the keeper ends the call then, whatever the adapter does. */
  readonly timeoutMs: number;
  /**
   * Asks for one lease. Nothing is retried and nothing is cached behind this call.
   * @param signal ends the wait; the promise then rejects with `custody_unavailable`
   * @throws LeaseRefusal when custody answered that it will not or cannot
   * @throws Denial `custody_unavailable` when there was no answer, or none that follows the wire
   */
  lease(request: LeaseRequest, signal: AbortSignal): Promise<LeaseGrant>;
  /**
   * Has the key of a lease that custody keeps sign a DPoP proof.
   * @param input JWS signing input; custody reads it, and signs nothing but proofs of this lease
   * @returns the signature, base64url
   * @throws LeaseRefusal `lease_unknown` when it is not live there (any more), `input_unfit`, `overloaded`
   * @throws Denial `custody_unavailable` as `lease`
   */
  sign(leaseId: string, input: string, signal: AbortSignal): Promise<string>;
  /** Whether custody answers at all, and what it tells of itself. @throws Denial `custody_unavailable` */
  health(signal: AbortSignal): Promise<CustodyHealth>;
  /**
   * Prolongs a lease that this edge was granted, up to 15 minutes from its issue in all. The material stays the same.
   * @returns its life from now on, `ms`
   * @throws as `lease`
   */
  renew(held: HeldLease, signal: AbortSignal): Promise<number>;
  /** Gives a lease back before its end. @throws as `lease` */
  release(held: HeldLease, signal: AbortSignal): Promise<void>;
  /**
   * What was revoked and lifted since `after`; waits when there is nothing new.
   * @param after cursor of the page before, or `null` for a first page, which tells a cursor and nothing else
   * @param waitMs how long to wait for news
   * @throws as `lease`
   */
  revocations(after: string | null, waitMs: number, signal: AbortSignal): Promise<RevocationPage>;
}

/** A lease as the edge that holds it names it to custody. */
export interface HeldLease {
  readonly leaseId: string;
  readonly session: string;
  readonly tenant: string;
}

/** What a custody that answers tells of itself. */
export interface CustodyHealth {
  /** Another one each time that what may be leased has changed; `null` when custody does not tell. */
  readonly catalogue: string | null;
  /** Why it goes on with less than its operator wanted, or `null`. For operators; never secret. */
  readonly problem: string | null;
}

/** Every refusal that custody itself gives, and the denial that it becomes. Unavailable is not the same as refused. */
export const LEASE_REFUSALS = {
  request_malformed: "lease_denied",
  caller_not_allowed: "lease_denied",
  session_unknown: "lease_denied",
  session_revoked: "lease_denied",
  tenant_revoked: "lease_denied",
  credential_revoked: "lease_denied",
  custody_revoked: "lease_denied",
  credential_unknown: "lease_denied",
  tenant_not_allowed: "lease_denied",
  scope_not_allowed: "lease_denied",
  lease_unknown: "lease_denied",
  lease_expired: "lease_denied",
  lease_revoked: "lease_denied",
  lease_at_its_end: "lease_denied",
  session_mismatch: "lease_denied",
  approval_pending: "approval_pending",
  approval_denied: "lease_denied",
  nothing_of_this_id: "lease_denied",
  source_unavailable: "custody_unavailable",
  audit_unavailable: "custody_unavailable",
  state_unavailable: "custody_unavailable",
  input_unfit: "lease_denied",
  overloaded: "custody_unavailable",
  draining: "custody_unavailable",
} as const satisfies Record<string, DenialCode>;

export type LeaseRefusalReason = keyof typeof LEASE_REFUSALS;

/** A refusal that custody gave by name. It proves that custody is there, so it never opens a breaker. */
export class LeaseRefusal extends Denial {
  readonly reason: LeaseRefusalReason;

  /** @param detail for operators; bounded, never secret */
  constructor(reason: LeaseRefusalReason, detail?: string) {
    super(LEASE_REFUSALS[reason], { cause: detail === undefined ? reason : `${reason}: ${detail}` });
    this.reason = reason;
  }
}

/** One issue or refusal, or what became of a lease later, as custody writes it down. Holds no material. */
export interface IssueEvent {
  readonly type: "lease_issued" | "lease_refused" | "lease_renewed" | "lease_released";
  /** Wall clock, ms since the epoch. */
  readonly wallMs: number;
  /** Who asked: `embedded`, or the identity that the transport proved. */
  readonly caller: string;
  readonly tenant: string;
  readonly session: string;
  readonly subject: string;
  readonly credential: string;
  readonly destination: string;
  readonly host: string;
  readonly port: number;
  readonly purpose: LeasePurpose;
  readonly narrow?: Narrowing;
  /** "" on a refusal, but for one that came after the issue was recorded. */
  readonly leaseId: string;
  /** "" when the refusal came before the credential was found. */
  readonly resourceRef: string;
  /** 0 on a refusal. */
  readonly ttlMs: number;
  readonly reason: LeaseRefusalReason | null;
}

/** What an operator did. */
export interface OperatorEvent {
  readonly type: "revocation_made" | "revocation_lifted" | "approval_granted" | "approval_denied";
  /** Who did, as the transport proved it. */
  readonly caller: string;
  /** What is written as it is; names in snake_case. */
  readonly facts: Readonly<Record<string, string | number>>;
  /** Written as a mark. */
  readonly session: { readonly tenant: string; readonly id: string } | null;
}

/** Custody's own record. Nothing is answered before its record is durable. */
export interface IssueAudit {
  /** Resolves once the record would survive a crash; rejects when it would not: then there is no lease. */
  record(event: IssueEvent): Promise<void>;
  /** The same for what operators do: it takes effect only afterwards. */
  operated(event: OperatorEvent): Promise<void>;
}
