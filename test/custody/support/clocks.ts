import type { Clock } from "../../../src/core/clock.ts";

/** Time that moves only when it is told to. */
export class ManualClock implements Clock {
  #nowMs = 1_000_000;
  #wallMs = Date.UTC(2030, 0, 1) - 1_000_000;

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#wallMs + this.#nowMs;
  }

  /** The wall clock alone: somebody set it, forward or back. */
  setWall(byMs: number): void {
    this.#wallMs += byMs;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
  }
}

/** Real time, for tests over sockets. */
export const realClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
};

/** Real time of day, for what is looked at by others; moved by hand beyond that. */
export class ShiftedClock implements Clock {
  monotonicShiftMs = 0;
  wallShiftMs = 0;

  monotonicMs(): number {
    return performance.now() + this.monotonicShiftMs;
  }

  wallMs(): number {
    return Date.now() + this.wallShiftMs;
  }
}
