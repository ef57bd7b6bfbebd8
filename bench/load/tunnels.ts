import { Caller, requestBytes } from "./caller.ts";
import { openTunnel } from "./connect.ts";
import { Loops } from "./loops.ts";
import type { Route } from "./route.ts";
import { type Tally, tallyWindow } from "./window.ts";

/** New tunnels with a warm leaf: CONNECT, a full TLS handshake, one request, hang up; several at once. */
export interface TunnelsJob {
  readonly kind: "tunnels";
  readonly route: Route;
  readonly upstreamPid: number;
  readonly host: string;
  readonly concurrency: number;
  readonly warmMs: number;
  readonly windowMs: number;
}

/** First hits: one new tunnel to each of `hosts`, one after the other. */
export interface FirstHitsJob {
  readonly kind: "first-hits";
  readonly route: Route;
  readonly hosts: readonly string[];
}

export async function tunnels(job: TunnelsJob): Promise<Tally> {
  const request = requestBytes(job.route, job.host);
  const loops = new Loops(job.concurrency, () => oneTunnel(job.route, job.host, request));
  try {
    return await Promise.race([tallyWindow(job.route, job.upstreamPid, job, () => loops.count), loops.failure]);
  } finally {
    await loops.stop();
  }
}

/** @returns milliseconds from the first SYN to the last byte of the answer, a host each */
export async function firstHits(job: FirstHitsJob): Promise<number[]> {
  const taken: number[] = [];
  for (const host of job.hosts) {
    const request = requestBytes(job.route, host);
    const startMs = performance.now();
    await oneTunnel(job.route, host, request);
    taken.push(performance.now() - startMs);
  }
  return taken;
}

async function oneTunnel(route: Route, host: string, request: Buffer): Promise<void> {
  const caller = new Caller(await openTunnel(route, host));
  await caller.ask(request);
  caller.close();
}
