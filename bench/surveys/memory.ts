import { setTimeout as sleep } from "node:timers/promises";
import type { Running } from "../contenders/contender.ts";
import type { Tally } from "../load/window.ts";
import { type Figure, SLACK_MS } from "../measures/measure.ts";
import type { Pace } from "../pace.ts";
import type { Stage } from "../stage/stage.ts";
import { destinationHost, DESTINATIONS } from "../wire/fixtures.ts";
import { treeRssMegabytes } from "../wire/process-tree.ts";
import type { Survey } from "./survey.ts";

const figures: readonly Figure[] = [
  { id: "memory.idle", title: "RSS idle, MB", digits: 0 },
  { id: "memory.tunnels", title: "more per 1,000 idle tunnels, MB", digits: 0 },
  { id: "memory.requests", title: "RSS after 100,000 requests, MB", digits: 0 },
  { id: "memory.growth", title: "more after 100,000 further ones, MB", digits: 1 },
];

const CONNECTIONS = 16;

/** Resident memory of fresh processes; what a slow contender could not do in time is left out. */
export const memory: Survey = {
  name: "memory",
  title: "memory, fresh processes",
  of: "every proxy",
  figures,
  async take({ stage, contender, start, pace, results, say }) {
    const fresh = (): Promise<Running> => start({ destinations: DESTINATIONS });
    const tunnels = await withFresh(fresh, (running) => measureTunnels(stage, running, pace));
    const requests = await withFresh(fresh, (running) => measureRequests(stage, running, pace));
    const values = { ...tunnels, ...requests };
    results.record(contender, 0, values);
    const said = Object.entries(values).map(([figure, value]) => `${figure.split(".")[1]} ${value.toFixed(0)}`);
    say(`memory of ${contender}: ${said.join(", ")} (MB)`);
  },
};

async function measureTunnels(stage: Stage, { route }: Running, pace: Pace): Promise<Record<string, number>> {
  await sleep(pace.settleMs);
  const idle = rss(route.pid);
  const count = pace.idleTunnels;
  await stage.run({ kind: "hold", route, host: destinationHost(0), count }, count * 30 + SLACK_MS);
  await sleep(pace.settleMs);
  const held = rss(route.pid);
  const open = await stage.run<number>({ kind: "release" }, SLACK_MS);
  if (open !== count) throw new Error(`only ${open} of ${count} idle tunnels stayed open`);
  return { "memory.idle": idle, "memory.tunnels": ((held - idle) * 1000) / count };
}

async function measureRequests(stage: Stage, running: Running, pace: Pace): Promise<Record<string, number>> {
  const first = await manyRequests(stage, running, pace);
  if (!first.isComplete) return {};
  const values: Record<string, number> = { "memory.requests": first.megabytes };
  if (first.seconds * 1000 > pace.memoryBudgetMs / 2) return values;
  const second = await manyRequests(stage, running, pace);
  return second.isComplete ? { ...values, "memory.growth": second.megabytes - first.megabytes } : values;
}

interface AfterRequests {
  readonly megabytes: number;
  readonly seconds: number;
  readonly isComplete: boolean;
}

async function manyRequests(stage: Stage, { route }: Running, pace: Pace): Promise<AfterRequests> {
  const { seconds, count } = await stage.run<Tally>(
    {
      kind: "requests",
      route,
      upstreamPid: stage.upstreamPid,
      host: destinationHost(0),
      plain: false,
      connections: CONNECTIONS,
      count: pace.memoryRequests,
      budgetMs: pace.memoryBudgetMs,
    },
    pace.memoryBudgetMs + SLACK_MS,
  );
  await sleep(pace.settleMs);
  return { megabytes: rss(route.pid), seconds, isComplete: count >= pace.memoryRequests };
}

function rss(pid: number | null): number {
  return pid === null ? 0 : treeRssMegabytes(pid);
}

async function withFresh<T>(start: () => Promise<Running>, work: (running: Running) => Promise<T>): Promise<T> {
  const running = await start();
  try {
    return await work(running);
  } finally {
    await running.stop();
  }
}
