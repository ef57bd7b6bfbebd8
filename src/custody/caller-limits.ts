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

interface CallerState {
  tokens: number;
  atMs: number;
  issuing: number;
}

/** Keeps one caller from taking what the others need: a token bucket each, and a share of the issues under way. */
export class CallerLimits {
  readonly #clock: Clock;
  readonly #limits: CallerLimitsOptions;
  readonly #states = new Map<string, CallerState>();
  #issuing = 0;

  constructor(clock: Clock, limits: CallerLimitsOptions) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Takes one token. @returns 0, or after how many whole seconds there is one again */
  take(caller: string): number {
    const state = this.#stateOf(caller);
    if (state.tokens >= 1) {
      state.tokens--;
      return 0;
    }
    return Math.max(1, Math.ceil((1 - state.tokens) / this.#limits.requestsPerSecond));
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
    state.tokens = Math.min(burst, state.tokens + ((nowMs - state.atMs) / 1000) * requestsPerSecond);
    state.atMs = nowMs;
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
