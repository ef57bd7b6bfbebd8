import type { Clock } from "../../../src/core/clock.ts";
import { DeadlineSweep } from "../../../src/core/deadline.ts";

const SWEEP_MS = 5;
const MOST_A_SWEEP_MS = 2 * SWEEP_MS;

/**
 * The sweep of the edge with short intervals, by a clock that stands still while this process does not get to run: both
 * ends of a connection are in it, and what one of them has said is to be read before the time of the other is up.
 */
export interface FairSweep {
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
  /** Resolves once `ms` have passed by this clock. */
  passed(ms: number): Promise<void>;
  stop(): void;
}

export function startFairSweep(): FairSweep {
  const sweep = new DeadlineSweep();
  let sweptRealMs = performance.now();
  let sweptMs = sweptRealMs;
  const monotonicMs = (): number => sweptMs + Math.min(performance.now() - sweptRealMs, MOST_A_SWEEP_MS);
  const sweeper = setInterval(() => {
    sweptMs = monotonicMs();
    sweptRealMs = performance.now();
    sweep.sweep(sweptMs);
  }, SWEEP_MS);
  return {
    clock: { monotonicMs, wallMs: () => Date.now() },
    sweep,
    async passed(ms) {
      const endMs = monotonicMs() + ms;
      while (monotonicMs() < endMs) await new Promise((resolve) => setTimeout(resolve, SWEEP_MS));
    },
    stop: () => clearInterval(sweeper),
  };
}
