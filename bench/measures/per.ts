import type { Tally } from "../load/window.ts";

/** CPU-seconds for `amount` of what was counted; `NaN` when nothing was. */
export function cpuPer(tally: Tally, amount: number): number {
  return tally.count === 0 ? Number.NaN : (tally.cpuSeconds / tally.count) * amount;
}

export function perSecond(tally: Tally): number {
  return tally.count / tally.seconds;
}

/** How busy load generator and upstream kept their core, in percent: near 100, they are what limits requests/s. */
export function loadCorePercent(tally: Tally): number {
  return (tally.loadCpuSeconds / tally.seconds) * 100;
}
