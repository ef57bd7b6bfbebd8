import { setImmediate } from "node:timers/promises";
import { serveJobs } from "../wire/worker.ts";
import { CREDENTIALS, custodyHolder, edgeHolder, type Holder } from "./holders.ts";

/** What one side remembers of so many leases. Started with `--expose-gc`, a process for each side. */
export interface MemoryJob {
  readonly side: "custody" | "edge";
  readonly sessions: number;
}

export interface MemoryAnswer {
  readonly leases: number;
  /** Before there is a lease, with all, when they have run out, with as many of other sessions. */
  readonly before: Memory;
  readonly filled: Memory;
  readonly expired: Memory;
  readonly again: Memory;
}

/** Bytes. */
export interface Memory {
  /** Heap, and what lies beside it. */
  readonly heap: number;
  readonly resident: number;
}

serveJobs(async ({ side, sessions }: MemoryJob): Promise<MemoryAnswer> => {
  const leases = sessions * CREDENTIALS;
  const holder = side === "custody" ? custodyHolder() : edgeHolder(leases);
  // Code is compiled, and tables are made that stay.
  await fill(holder, Math.ceil(sessions / 100));
  expire(holder);
  const before = await read();
  await fill(holder, sessions);
  const filled = await read();
  expire(holder);
  const expired = await read();
  await fill(holder, sessions);
  const again = await read();
  return { leases, before, filled, expired, again };
});

async function fill(holder: Holder, sessions: number): Promise<void> {
  await holder.fill(sessions);
  if (holder.size !== sessions * CREDENTIALS) throw new Error(`${holder.size} leases are held of ${sessions} sessions`);
}

function expire(holder: Holder): void {
  holder.expire();
  if (holder.size !== 0) throw new Error(`${holder.size} leases are remembered although they have expired`);
}

/** What is finalized late is gone by the third time. */
async function read(): Promise<Memory> {
  if (globalThis.gc === undefined) throw new Error("start it with --expose-gc");
  for (let i = 0; i < 3; i++) {
    await globalThis.gc({ type: "major", execution: "async" });
    await setImmediate();
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heap: heapUsed + external, resident: rss };
}
