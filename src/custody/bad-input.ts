import { type Bucket, type BucketRate, refill } from "./token-bucket.ts";
import type { Clock } from "../core/clock.ts";

/** Malformed requests that a caller may send at once, and how many more each second. A working edge sends none. */
const RATE: BucketRate = { most: 20, perSecond: 1 };
const MAX_CALLERS = 1_000;

/** Bounds what a broken or hostile caller can make custody parse and log: a token bucket for each caller. */
export class BadInput {
  readonly #clock: Clock;
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts one malformed request. */
  count(caller: string): void {
    const bucket = this.#fill(caller);
    bucket.tokens = Math.max(0, bucket.tokens - 1);
  }

  /** Whether the caller has sent so much of it that it is not read for now. */
  isShut(caller: string): boolean {
    return this.#buckets.has(caller) && this.#fill(caller).tokens < 1;
  }

  #fill(caller: string): Bucket {
    const nowMs = this.#clock.monotonicMs();
    const bucket = this.#buckets.get(caller);
    if (bucket === undefined) {
      const oldest = this.#buckets.size >= MAX_CALLERS ? this.#buckets.keys().next() : null;
      if (oldest !== null && oldest.done !== true) this.#buckets.delete(oldest.value);
      const fresh = { tokens: RATE.most, atMs: nowMs };
      this.#buckets.set(caller, fresh);
      return fresh;
    }
    refill(bucket, RATE, nowMs);
    return bucket;
  }
}
