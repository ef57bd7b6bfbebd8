import { setTimeout as sleep } from "node:timers/promises";
import { treeCpuSeconds } from "../wire/process-tree.ts";
import type { Route } from "./route.ts";

/** What was counted between two readings of clock and CPU. */
export interface Tally {
  /** Requests, tunnels, denials or bytes, as the job says. */
  readonly count: number;
  readonly seconds: number;
  /** CPU-seconds of the contender's process tree; 0 when there is none. */
  readonly cpuSeconds: number;
  /** CPU-seconds of load generator and upstream, which share a core. */
  readonly loadCpuSeconds: number;
}

/** Whose CPU time counts. */
export type Measured = Pick<Route, "pid">;

interface Reading {
  readonly atMs: number;
  readonly count: number;
  readonly cpuSeconds: number;
  readonly loadCpuSeconds: number;
}

/** Lets work that is under way run for `warmMs`, then counts it for `windowMs`. */
export async function tallyWindow(
  route: Measured,
  upstreamPid: number,
  { warmMs, windowMs }: { readonly warmMs: number; readonly windowMs: number },
  count: () => number,
): Promise<Tally> {
  await sleep(warmMs);
  const before = read(route, upstreamPid, count());
  await sleep(windowMs);
  return between(before, read(route, upstreamPid, count()));
}

/** Counts one piece of work from its start to its end. `work` returns how much was done. */
export async function tallyWork(route: Measured, upstreamPid: number, work: () => Promise<number>): Promise<Tally> {
  const before = read(route, upstreamPid, 0);
  const count = await work();
  return between(before, read(route, upstreamPid, count));
}

function read(route: Measured, upstreamPid: number, count: number): Reading {
  const { user, system } = process.cpuUsage();
  return {
    count,
    atMs: performance.now(),
    cpuSeconds: route.pid === null ? 0 : treeCpuSeconds(route.pid),
    loadCpuSeconds: (user + system) / 1e6 + treeCpuSeconds(upstreamPid),
  };
}

function between(before: Reading, after: Reading): Tally {
  return {
    count: after.count - before.count,
    seconds: (after.atMs - before.atMs) / 1000,
    cpuSeconds: after.cpuSeconds - before.cpuSeconds,
    loadCpuSeconds: after.loadCpuSeconds - before.loadCpuSeconds,
  };
}
