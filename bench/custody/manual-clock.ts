import type { Clock } from "../../src/core/clock.ts";

/** Stands still until it is told: a quarter of an hour is over in no time. */
export class ManualClock implements Clock {
  #nowMs = 1_000_000;

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
  }
}
