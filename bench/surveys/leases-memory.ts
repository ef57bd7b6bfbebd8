import { join } from "node:path";
import { imageEnvironment, THIS_TREE } from "../contenders/postern.ts";
import type { MemoryAnswer, MemoryJob } from "../custody/memory-process.ts";
import type { Figure } from "../measures/measure.ts";
import { Worker } from "../wire/worker.ts";
import type { Survey } from "./survey.ts";

const SIDES = ["custody", "edge"] as const;
const DEADLINE_MS = 120_000;

/** What live leases take, and whether it comes back: 10 of each session, in a process for each side. */
export const leasesMemory: Survey = {
  name: "leases-memory",
  title: "memory of live leases, 10 of each session",
  of: "postern",
  figures: SIDES.flatMap(figures),
  async take({ stage, pace: { leaseSessions }, contender, results, say }) {
    for (const side of SIDES) {
      const worker = new Worker(`memory of ${side}`, {
        command: [process.execPath, "--expose-gc", join(THIS_TREE, "bench", "custody", "memory-process.ts")],
        core: stage.cores.proxy,
        logFile: join(stage.folder, `leases-memory-${side}.log`),
        env: imageEnvironment(THIS_TREE),
      });
      try {
        const job: MemoryJob = { side, sessions: leaseSessions };
        const values = valuesOf(side, (await worker.call(job, DEADLINE_MS)) as MemoryAnswer);
        results.record(contender, 0, values);
        say(`leases-memory ${side}: ${(values[`leases-memory.${side}.heap`] ?? Number.NaN).toFixed(0)} bytes a lease`);
      } finally {
        await worker.stop();
      }
    }
  },
};

function figures(side: string): Figure[] {
  const words = side === "custody" ? "ledger of custody" : "keeper of the edge";
  return [
    { id: `leases-memory.${side}.heap`, title: `${words}: heap a lease, bytes`, digits: 0 },
    { id: `leases-memory.${side}.resident`, title: `${words}: RSS a lease, bytes`, digits: 0 },
    { id: `leases-memory.${side}.left`, title: `${words}: heap more once all have expired, MB`, digits: 1 },
    { id: `leases-memory.${side}.growth`, title: `${words}: heap more when filled again, MB`, digits: 1 },
    { id: `leases-memory.${side}.growth-resident`, title: `${words}: RSS more when filled again, MB`, digits: 1 },
  ];
}

function valuesOf(side: string, answer: MemoryAnswer): Record<string, number> {
  const { leases, before, filled, expired, again } = answer;
  return {
    [`leases-memory.${side}.heap`]: (filled.heap - before.heap) / leases,
    [`leases-memory.${side}.resident`]: (filled.resident - before.resident) / leases,
    [`leases-memory.${side}.left`]: (expired.heap - before.heap) / 1e6,
    [`leases-memory.${side}.growth`]: (again.heap - filled.heap) / 1e6,
    [`leases-memory.${side}.growth-resident`]: (again.resident - filled.resident) / 1e6,
  };
}
