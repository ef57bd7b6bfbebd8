import type { LeasePurpose, LeaseRequest, LeaseSession } from "../core/custody.ts";
import type { Denial } from "../core/denial.ts";
import type { Lease, Permit } from "../core/exchange.ts";
import type { MethodClass } from "../core/method-class.ts";
import type { Narrowing } from "../core/narrow.ts";

/** One fetch in flight: everybody who needs the same lease waits for it. */
export interface Flight {
  readonly landed: Promise<void>;
  readonly controller: AbortController;
}

/**
 * Where the keeper holds the lease of one session, destination, credential, narrowing and authority. A slot without a lease and
 * without a flight is removed: nothing is remembered about a failure, and of a 401 only for a moment that there was one.
 */
export class Slot {
  readonly session: LeaseSession;
  readonly custody: string;
  readonly credential: string;
  readonly destination: string;
  readonly host: string;
  readonly port: number;
  readonly authority: string;
  readonly narrow: Narrowing | undefined;
  /** Of the exchange that it was opened for. */
  readonly methodClass: MethodClass;
  /** It serves exchanges of its class alone: its credential is known to be approved by class. */
  bound: boolean;
  lease: Lease | null = null;
  /** From here on (monotonic ms) a use starts a refresh in the background. */
  refreshAtMs = 0;
  /** Monotonic ms: custody's catalogue was seen to have changed. What was asked for before is replaced at its next use. */
  askAnewAtMs = Number.NEGATIVE_INFINITY;
  /** Exchanges that may still be handed this lease; infinite when it has no bound. */
  handsLeft = 0;
  flight: Flight | null = null;
  /** The flight whose answer is thrown away, because it was asked for ahead of a reset; stays until a lease has landed. */
  voided: Flight | null = null;
  /** Why the next fetch is made. */
  purpose: LeasePurpose = "request";
  /** Monotonic ms at which the upstream last refused a lease of this slot, or `null`. */
  rejectedAtMs: number | null = null;
  /** Hit since eviction looked last. A slot that only ever served its own fetch is the first to leave. */
  used = false;
  /** Set once the slot left the shelf: what a flight still waits for is this. */
  gone: Denial | null = null;

  constructor(permit: Permit, custody: string, credential: string, bound: boolean) {
    const { id, tenant, workspace, subject } = permit.session;
    this.session = { id, tenant, workspace, subject };
    this.custody = custody;
    this.credential = credential;
    this.destination = permit.destination.name;
    this.host = permit.authority.host;
    this.port = permit.authority.port;
    this.authority = permit.authority.text;
    this.narrow = permit.destination.credential?.narrow;
    this.methodClass = permit.methodClass;
    this.bound = bound;
  }

  /** Whether what it holds may be used for such an exchange. */
  serves(methodClass: MethodClass): boolean {
    return !this.bound || this.methodClass === methodClass;
  }

  /**
   * The lease for one more exchange, or `null`. Hands are counted here, ahead of `reserveUse`, so that a lease with two uses
   * left is not given to ten exchanges of which eight would then be refused.
   */
  take(nowMs: number): Lease | null {
    if (!this.hasOne(nowMs)) return null;
    this.handsLeft--;
    return this.lease;
  }

  /** Whether `take` would hand one out. */
  hasOne(nowMs: number): boolean {
    return this.lease !== null && this.handsLeft > 0 && this.lease.isLive(nowMs);
  }

  /** Whether what is on its way is thrown away when it comes. */
  get isVoid(): boolean {
    return this.flight !== null && this.voided === this.flight;
  }

  request(): LeaseRequest {
    const { session, credential, host, port, destination, purpose, methodClass, narrow } = this;
    const request = { session, credential, host, port, destination, purpose, methodClass };
    return narrow === undefined ? request : { ...request, narrow };
  }
}
