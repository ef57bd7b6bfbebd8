import type { Clock } from "../../core/clock.ts";
import { MAX_LEASE_MS } from "../lease-of-grant.ts";

/** What waits to be given back; more is left to expire by itself. */
const MOST_WAITING = 1_000;

/** Gives back at the issuer what was replaced, once no lease of it can be alive any more. */
export class Releases {
  readonly #clock: Clock;
  /** Oldest first: all wait equally long. */
  readonly #waiting = new Map<() => Promise<void>, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param givenAtMs monotonic ms at which the last lease was given, or `null` for none */
  add(release: () => Promise<void>, givenAtMs: number | null): void {
    if (this.#waiting.size >= MOST_WAITING) return;
    this.#waiting.set(release, givenAtMs === null ? 0 : givenAtMs + MAX_LEASE_MS);
    this.sweep();
  }

  sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [release, dueMs] of this.#waiting) {
      if (nowMs < dueMs) continue;
      this.#waiting.delete(release);
      // It owns its outcome and never rejects.
      void release();
    }
  }
}
