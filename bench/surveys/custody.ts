import { mkdirSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import type { Asking } from "../custody/ask.ts";
import { startCustody } from "../custody/served.ts";
import type { Running } from "../contenders/contender.ts";
import type { Tally } from "../load/window.ts";
import { type Figure, SLACK_MS } from "../measures/measure.ts";
import { cpuPer, loadCorePercent, perSecond } from "../measures/per.ts";
import type { Stage } from "../stage/stage.ts";
import { Worker } from "../wire/worker.ts";
import type { Survey, Surveyed } from "./survey.ts";

const AT_ONCE = 16;
/** Where a disk costs nothing. */
const IN_MEMORY = "/dev/shm";
/** `f_type` of tmpfs, statfs(2). */
const TMPFS = 0x01021994;

/** What a lease costs at custody, each for a session of its own. */
export const custody: Survey = {
  name: "custody",
  title: `leases of custody, ${AT_ONCE} calls at a time`,
  of: "postern",
  figures: [
    ...figures("embedded", "embedded in the edge, asking included"),
    ...figures("served", "over mTLS, audit strict, fsync always"),
    ...figures("in-memory", "the same, audit file in memory"),
  ],
  async take(surveyed) {
    const { stage, say, pace, results, contender } = surveyed;
    const onDisk = join(stage.folder, "custody");
    mkdirSync(onDisk);
    if (isInMemory(stage.folder)) say(`${stage.folder} lies in memory: point TMPDIR to a disk for what a disk costs`);
    const inMemory = isInMemory(IN_MEMORY) ? mkdtempSync(join(IN_MEMORY, "postern-bench-")) : null;
    const open: { stop(): Promise<void> }[] = [];
    try {
      const embedded = openEmbedded(stage, join(onDisk, "edge-audit.jsonl"));
      open.push(embedded);
      const served = await startCustody(stage, folderIn(onDisk, "served"), onDisk);
      open.push(served);
      const ways: [name: string, ask: (asking: Asking) => Promise<Tally>][] = [
        ["embedded", (asking) => embedded.call(asking, deadlineMs(asking)) as Promise<Tally>],
        ["served", (asking) => askServed(stage, served, asking)],
      ];
      if (inMemory === null) say(`${IN_MEMORY} is not in memory: without the figures of an audit file that is`);
      else {
        const quick = await startCustody(stage, folderIn(onDisk, "in-memory"), inMemory);
        open.push(quick);
        ways.push(["in-memory", (asking) => askServed(stage, quick, asking)]);
      }
      for (const [, ask] of ways) await ask({ ...askingOf(surveyed), windowMs: pace.warmUpMs });
      for (let round = 0; round < pace.rounds; round++) {
        for (const [name, ask] of round % 2 === 0 ? ways : ways.toReversed()) {
          const values = valuesOf(name, await ask(askingOf(surveyed)));
          results.record(contender, round, values);
        }
      }
    } finally {
      await Promise.all(open.map((each) => each.stop()));
      if (inMemory !== null) rmSync(inMemory, { recursive: true });
    }
  },
};

function figures(way: string, words: string): Figure[] {
  return [
    { id: `custody.${way}.rate`, title: `${words}: leases/s`, digits: 0 },
    { id: `custody.${way}.cpu`, title: `${words}: CPU-s per 10,000`, digits: 2 },
    { id: `custody.${way}.load`, title: `${words}: load core busy, %`, digits: 0 },
  ];
}

function valuesOf(way: string, tally: Tally): Record<string, number> {
  return {
    [`custody.${way}.rate`]: perSecond(tally),
    [`custody.${way}.cpu`]: cpuPer(tally, 10_000),
    // Embedded, nobody else takes part.
    ...(way === "embedded" ? {} : { [`custody.${way}.load`]: loadCorePercent(tally) }),
  };
}

function askingOf({ stage, pace: { warmMs, windowMs } }: Surveyed): Asking {
  return { atOnce: AT_ONCE, upstreamPid: stage.upstreamPid, warmMs, windowMs };
}

function openEmbedded(stage: Stage, auditFile: string): Worker {
  return new Worker("embedded custody", {
    command: [process.execPath, join(import.meta.dirname, "..", "custody", "embedded-process.ts"), auditFile],
    core: stage.cores.proxy,
    logFile: join(stage.folder, "embedded-custody.log"),
  });
}

function askServed(stage: Stage, { route }: Running, asking: Asking): Promise<Tally> {
  const { upstreamCa: ca, edge: certificate, edgeKey: key } = stage.certificates;
  const custody = { pid: route.pid, port: route.proxyPort };
  return stage.run({ kind: "leases", custody, ca, certificate, key, ...asking }, deadlineMs(asking));
}

function deadlineMs({ warmMs, windowMs }: Asking): number {
  return warmMs + windowMs + SLACK_MS;
}

function folderIn(parent: string, name: string): string {
  const folder = join(parent, name);
  mkdirSync(folder);
  return folder;
}

function isInMemory(folder: string): boolean {
  try {
    return statfsSync(folder).type === TMPFS;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
