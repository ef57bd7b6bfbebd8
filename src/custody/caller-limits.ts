import { type Bucket, refill, takeToken } from "./token-bucket.ts";
import type { Clock } from "../core/clock.ts";

/** What one caller may ask for; each has its own. */
export interface CallerLimitsOptions {
  /** Requests of one caller that are answered in a second, on average. */
  readonly requestsPerSecond: number;
  /** Requests that it may send at once after a pause. */
  readonly burst: number;
  /** Leases that are issued for it at one time. */
  readonly issuesAtOnce: number;
}

export const CALLER_LIMITS: CallerLimitsOptions = { requestsPerSecond: 1_000, burst: 5_000, issuesAtOnce: 128 };

/** Issues at one time for all callers together. */
const ISSUES_IN_ALL = 256;
/** What every caller may have under way however many the others have: nobody waits for them. */
const ISSUES_OF_ITS_OWN = 4;
const MAX_CALLERS = 20_000;

interface CallerState extends Bucket {
  issuing: number;
}

/** What one session may take of its caller's bucket: a guest that asks without end is not to starve those beside it. */
const SHARE_OF_SESSION = 0.25;
const MAX_SESSIONS = 50_000;

/**
 * Keeps one caller from taking what the others need, and one session of it from taking what the other sessions do: a token bucket
 * each, and a share of the issues under way.
 */
export class CallerLimits {
  readonly #clock: Clock;
  readonly #limits: CallerLimitsOptions;
  readonly #states = new Map<string, CallerState>();
  /** Those that asked last are at the end. */
  readonly #sessions = new Map<string, Bucket>();
  #issuing = 0;

  constructor(clock: Clock, limits: CallerLimitsOptions) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Takes one token. @returns 0, or after how many whole seconds there is one again */
  take(caller: string): number {
    const state = this.#stateOf(caller);
    return takeToken(state) ? 0 : secondsUntilOne(state, this.#limits.requestsPerSecond);
  }

  /** Takes one token of a session after one of its caller, which is given back when there is none. @returns as `take` */
  takeOf(caller: string, tenant: string, session: string): number {
    const { burst, requestsPerSecond } = this.#limits;
    const rate = { most: Math.max(1, burst * SHARE_OF_SESSION), perSecond: requestsPerSecond * SHARE_OF_SESSION };
    const nowMs = this.#clock.monotonicMs();
    const key = JSON.stringify([caller, tenant, session]);
    const bucket = this.#sessions.get(key) ?? { tokens: rate.most, atMs: nowMs };
    refill(bucket, rate, nowMs);
    this.#sessions.delete(key);
    this.#sessions.set(key, bucket);
    const oldest = this.#sessions.size > MAX_SESSIONS ? this.#sessions.keys().next() : null;
    if (oldest !== null && oldest.done !== true) this.#sessions.delete(oldest.value);
    if (takeToken(bucket)) return 0;
    this.#stateOf(caller).tokens++;
    return secondsUntilOne(bucket, rate.perSecond);
  }

  /** Begins one issue. Each `true` is followed by one `leave`. */
  enter(caller: string): boolean {
    const state = this.#stateOf(caller);
    const { issuesAtOnce } = this.#limits;
    if (state.issuing >= issuesAtOnce) return false;
    if (this.#issuing >= ISSUES_IN_ALL && state.issuing >= Math.min(ISSUES_OF_ITS_OWN, issuesAtOnce)) return false;
    state.issuing++;
    this.#issuing++;
    return true;
  }

  leave(caller: string): void {
    this.#stateOf(caller).issuing--;
    this.#issuing--;
  }

  #stateOf(caller: string): CallerState {
    const nowMs = this.#clock.monotonicMs();
    const { burst, requestsPerSecond } = this.#limits;
    const state = this.#states.get(caller);
    if (state === undefined) {
      this.#makeRoom();
      const fresh = { tokens: burst, atMs: nowMs, issuing: 0 };
      this.#states.set(caller, fresh);
      return fresh;
    }
    refill(state, { most: burst, perSecond: requestsPerSecond }, nowMs);
    return state;
  }

  /** Callers are names of the config: there are never so many at a time, but they may have been reloaded often. */
  #makeRoom(): void {
    if (this.#states.size < MAX_CALLERS) return;
    for (const [name, { issuing }] of this.#states) {
      if (issuing > 0) continue;
      this.#states.delete(name);
      return;
    }
  }
}

function secondsUntilOne({ tokens }: Bucket, perSecond: number): number {
  return Math.max(1, Math.ceil((1 - tokens) / perSecond));
}
