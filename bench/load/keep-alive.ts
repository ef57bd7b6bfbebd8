import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Caller, requestBytes, type RequestShape } from "./caller.ts";
import { openTcp, openTunnel } from "./connect.ts";
import type { Route } from "./route.ts";
import { type Tally, tallyWindow, tallyWork } from "./window.ts";

/** Requests on connections that stay open: each asks again as soon as it was answered. */
export interface KeepAliveJob {
  readonly kind: "keepalive";
  readonly route: Route;
  readonly upstreamPid: number;
  readonly host: string;
  /** Absolute-form over plain TCP instead of TLS in a tunnel. */
  readonly plain: boolean;
  readonly connections: number;
  /** What is asked for; left out: `GET` of the JSON. */
  readonly shape?: RequestShape;
  readonly warmMs: number;
  readonly windowMs: number;
}

/** The same, but a fixed number of requests, or what fits into the budget. */
export interface RequestsJob extends Omit<KeepAliveJob, "kind" | "warmMs" | "windowMs"> {
  readonly kind: "requests";
  readonly count: number;
  readonly budgetMs: number;
}

export async function keepAlive(job: KeepAliveJob): Promise<Tally> {
  const run = await startRun(job, Number.POSITIVE_INFINITY);
  try {
    return await Promise.race([tallyWindow(job.route, job.upstreamPid, job, () => run.answers()), run.failure]);
  } finally {
    await run.close();
  }
}

export async function fixedRequests(job: RequestsJob): Promise<Tally> {
  return tallyWork(job.route, job.upstreamPid, async () => {
    const run = await startRun(job, job.count);
    const timer = setTimeout(() => run.stop(), job.budgetMs);
    try {
      await Promise.race([run.done, run.failure]);
      return run.answers();
    } finally {
      clearTimeout(timer);
      await run.close();
    }
  });
}

const LAST_ANSWERS_MS = 2000;

interface Run {
  answers(): number;
  /** No further request is sent. */
  stop(): void;
  /** When the last answer of the agreed number has come. */
  readonly done: Promise<void>;
  readonly failure: Promise<never>;
  /** Waits for what is still to be answered, so that nobody is hung up on in the middle of it. */
  close(): Promise<void>;
}

async function startRun(job: KeepAliveJob | RequestsJob, limit: number): Promise<Run> {
  const request = requestBytes(job.route, job.host, { ...job.shape, plain: job.plain });
  const callers = await openAll(job);
  let answered = 0;
  let sent = 0;
  let allowed = limit;
  const done = Promise.withResolvers<void>();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined); // it is raced; a failure while closing concerns nobody
  for (const caller of callers) {
    caller.listen(() => {
      answered++;
      if (sent < allowed) {
        sent++;
        caller.send(request);
      } else if (answered === sent) done.resolve();
    }, failure.reject);
  }
  for (const caller of callers) {
    sent++;
    caller.send(request);
  }
  return {
    answers: () => answered,
    stop: () => {
      allowed = 0;
    },
    done: done.promise,
    failure: failure.promise,
    async close() {
      allowed = 0;
      await Promise.race([done.promise, failure.promise, sleep(LAST_ANSWERS_MS)]).catch(() => undefined);
      callers.forEach((caller) => caller.close());
    },
  };
}

async function openAll(job: KeepAliveJob | RequestsJob): Promise<Caller[]> {
  const callers: Caller[] = [];
  try {
    while (callers.length < job.connections) callers.push(new Caller(await open(job)));
    return callers;
  } catch (error) {
    callers.forEach((caller) => caller.close());
    throw error;
  }
}

function open(job: KeepAliveJob | RequestsJob): Promise<Socket> {
  return job.plain ? openTcp(job.route, job.route.upstream.plainPort) : openTunnel(job.route, job.host);
}
