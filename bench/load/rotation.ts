import { setTimeout as sleep } from "node:timers/promises";
import { Caller, requestBytes } from "./caller.ts";
import { openTunnel } from "./connect.ts";
import type { Route } from "./route.ts";
import { type Tally, tallyWindow } from "./window.ts";

/** `GET` of the JSON from one host after the other, each in a tunnel that stays open, so many at once. */
export interface RotationJob {
  readonly kind: "rotation";
  readonly route: Route;
  readonly upstreamPid: number;
  readonly hosts: readonly string[];
  readonly atOnce: number;
  readonly warmMs: number;
  readonly windowMs: number;
}

const LAST_ANSWERS_MS = 2000;

export async function rotation(job: RotationJob): Promise<Tally> {
  const callers: Caller[] = [];
  try {
    for (const host of job.hosts) callers.push(new Caller(await openTunnel(job.route, host)));
    return await ask(job, callers);
  } finally {
    callers.forEach((caller) => caller.close());
  }
}

async function ask(job: RotationJob, callers: readonly Caller[]): Promise<Tally> {
  const requests = job.hosts.map((host) => requestBytes(job.route, host));
  /** Who has been answered, longest ago first. */
  const idle = callers.map((_, i) => i);
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined); // it is raced
  let answered = 0;
  let isOver = false;
  const next = (): void => {
    const turn = isOver ? undefined : idle.shift();
    if (turn !== undefined) callers[turn]?.send(requests[turn] as Buffer);
  };
  for (const [i, caller] of callers.entries()) {
    caller.listen(() => {
      answered++;
      idle.push(i);
      next();
    }, failure.reject);
  }
  for (let i = 0; i < job.atOnce; i++) next();
  try {
    return await Promise.race([tallyWindow(job.route, job.upstreamPid, job, () => answered), failure.promise]);
  } finally {
    isOver = true;
    await lastAnswers(() => idle.length === callers.length);
  }
}

/** Nobody is hung up on in the middle of an answer. */
async function lastAnswers(areThere: () => boolean): Promise<void> {
  const endMs = performance.now() + LAST_ANSWERS_MS;
  while (!areThere() && performance.now() < endMs) await sleep(5);
}
