import { BULK_BYTES } from "../wire/fixtures.ts";
import { Caller, requestBytes } from "./caller.ts";
import { openTunnel } from "./connect.ts";
import type { Route } from "./route.ts";
import { type Tally, tallyWork } from "./window.ts";

/** 100 MB down or up, `times` times on one connection. Counts bytes. */
export interface BulkJob {
  readonly kind: "bulk";
  readonly direction: "download" | "upload";
  readonly route: Route;
  readonly upstreamPid: number;
  readonly host: string;
  readonly times: number;
}

const BLOCK = Buffer.alloc(65_536, "postern ");

export async function bulk(job: BulkJob): Promise<Tally> {
  const caller = new Caller(await openTunnel(job.route, job.host));
  try {
    await caller.ask(requestBytes(job.route, job.host));
    return await tallyWork(job.route, job.upstreamPid, async () => {
      for (let i = 0; i < job.times; i++) await transfer(job, caller);
      return job.times * BULK_BYTES;
    });
  } finally {
    caller.close();
  }
}

async function transfer({ direction, route, host }: BulkJob, caller: Caller): Promise<void> {
  if (direction === "upload") {
    const head = requestBytes(route, host, { method: "POST", path: "/upload", contentLength: BULK_BYTES });
    await caller.upload(head, BLOCK, BULK_BYTES);
    return;
  }
  const received = await caller.ask(requestBytes(route, host, { path: "/download" }), "bulk");
  if (received !== BULK_BYTES) throw new Error(`download has ${received} bytes instead of ${BULK_BYTES}`);
}
