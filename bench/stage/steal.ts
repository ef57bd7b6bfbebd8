import { readFileSync } from "node:fs";

/** One reading of a core's time in clock ticks, from /proc/stat. */
export interface CoreTime {
  readonly all: number;
  readonly stolen: number;
}

/** @returns `null` where the core is not told apart */
export function readCoreTime(core: number | null): CoreTime | null {
  const name = core === null ? "cpu" : `cpu${core}`;
  const line = readFileSync("/proc/stat", "latin1")
    .split("\n")
    .find((each) => each.startsWith(`${name} `));
  if (line === undefined) return null;
  // user nice system idle iowait irq softirq steal guest guest_nice; the last two are part of the first two
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return { all: ticks.reduce((sum, each) => sum + each, 0), stolen: ticks[7] ?? 0 };
}

/** Percent of the time between two readings in which the hypervisor ran somebody else. */
export function stealPercent(before: CoreTime | null, after: CoreTime | null): number | null {
  if (before === null || after === null || after.all === before.all) return null;
  return ((after.stolen - before.stolen) / (after.all - before.all)) * 100;
}
