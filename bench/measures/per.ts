import type { Tally } from "../load/window.ts";

/**
 * CPU-seconds for `amount` of what was counted.
 * @throws Error when nothing was: a median over such rounds would be one of nothing
 */
export function cpuPer(tally: Tally, amount: number): number {
  if (tally.count === 0) throw new Error(`nothing was done in ${tally.seconds.toFixed(1)} s`);
  return (tally.cpuSeconds / tally.count) * amount;
}

export function perSecond(tally: Tally): number {
  return tally.count / tally.seconds;
}

/** How busy load generator and upstream kept their core, in percent: near 100, they are what limits requests/s. */
export function loadCorePercent(tally: Tally): number {
  return (tally.loadCpuSeconds / tally.seconds) * 100;
}
