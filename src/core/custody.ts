import { Denial, type DenialCode } from "./denial.ts";
import type { LeaseScope } from "./exchange.ts";
import type { Material } from "./material.ts";
import type { Narrowing } from "./narrow.ts";

/** The port between the edge and custody: what is asked, what is granted, how it is refused, what is written down. */

/** Why the edge asks. `rejected`: the upstream answered 401 to the last lease, so nothing that is cached will do. */
export const LEASE_PURPOSES = ["request", "refresh", "rejected"] as const;
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
  /** Whether custody answers at all, and what it tells of itself. @throws Denial `custody_unavailable` */
  health(signal: AbortSignal): Promise<CustodyHealth>;
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
  credential_unknown: "lease_denied",
  tenant_not_allowed: "lease_denied",
  scope_not_allowed: "lease_denied",
  source_unavailable: "custody_unavailable",
  audit_unavailable: "custody_unavailable",
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

/** One issue or refusal, as custody writes it down. Holds no material. */
export interface IssueEvent {
  readonly type: "lease_issued" | "lease_refused";
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
  /** "" on a refusal. */
  readonly leaseId: string;
  /** "" when the refusal came before the credential was found. */
  readonly resourceRef: string;
  /** 0 on a refusal. */
  readonly ttlMs: number;
  readonly reason: LeaseRefusalReason | null;
}

/** Custody's own record. A lease is answered only after its record is durable. */
export interface IssueAudit {
  /** Resolves once the record would survive a crash; rejects when it would not: then there is no lease. */
  record(event: IssueEvent): Promise<void>;
}
