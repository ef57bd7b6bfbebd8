import { Caller, requestBytes } from "./caller.ts";
import { openTunnel } from "./connect.ts";
import type { Route } from "./route.ts";

/** Requests at a fixed, modest rate over kept connections, whatever the answers take: latency without a queue. */
export interface LatencyJob {
  readonly kind: "latency";
  readonly route: Route;
  readonly host: string;
  readonly connections: number;
  readonly requestsPerSecond: number;
  readonly warmMs: number;
  readonly windowMs: number;
}

/** @returns milliseconds from write to last byte, an answer each; from when it was due, if no connection was free then */
export async function latency(job: LatencyJob): Promise<number[]> {
  const request = requestBytes(job.route, job.host);
  const idle: Caller[] = [];
  for (let i = 0; i < job.connections; i++) idle.push(new Caller(await openTunnel(job.route, job.host)));
  const all = [...idle];
  try {
    return await pace(job, request, idle);
  } finally {
    all.forEach((caller) => caller.close());
  }
}

function pace(job: LatencyJob, request: Buffer, idle: Caller[]): Promise<number[]> {
  const gapMs = 1000 / job.requestsPerSecond;
  const total = Math.ceil((job.warmMs + job.windowMs) / gapMs);
  const counted = Math.ceil(job.windowMs / gapMs);
  const taken: number[] = [];
  const startMs = performance.now();
  return new Promise((resolve, reject) => {
    let next = 0;
    let answered = 0;
    const tick = (): void => {
      const nowMs = performance.now();
      while (next < total && startMs + next * gapMs <= nowMs) {
        // A request that finds every connection busy waits: that delay is the contender's and counts from when it was due.
        const caller = idle.pop();
        if (caller === undefined) break;
        const isLate = nowMs - (startMs + next * gapMs) > LATE_TIMER_MS;
        ask(caller, isLate ? startMs + next * gapMs : performance.now(), next >= total - counted);
        next++;
      }
      if (next < total) setTimeout(tick, Math.max(0, startMs + next * gapMs - performance.now()));
    };
    const ask = (caller: Caller, fromMs: number, counts: boolean): void => {
      caller.listen(() => {
        if (counts) taken.push(performance.now() - fromMs);
        idle.push(caller);
        answered++;
        if (answered === total) resolve(taken);
      }, reject);
      caller.send(request);
    };
    tick();
  });
}

/** Timers of Node have a resolution of 1 ms: up to this, a late send is the load generator's own lateness. */
const LATE_TIMER_MS = 3;
