import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ask, openHttp2 } from "../guest/support/h2-guest.ts";
import { makeCa } from "../house/support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "../house/support/edge.ts";
import { startUpstream, type Upstream } from "../house/support/upstream.ts";
import type { FloodEnd, FloodOrder } from "./support/h2-flooder.ts";
import type { FloodName } from "./support/h2-floods.ts";

/**
 * HTTP/2 floods against a real edge: it stays up and bounded, whoever floods is cut with a code, and another guest is answered
 * rightly all along. How much slower that one is served is printed, never judged: the machine is shared.
 */

const ROUNDS = 2;
/** Generous: what is looked for grows with every frame of hundreds of thousands. */
const MAX_GROWTH_MB = 150;

let directory = "";
let upstream: Upstream;
let edge: Edge;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-http2-floods-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  upstream = await startUpstream({ tls: await ca.issue(["free.test"]) });
  edge = await startEdge({
    hosts: { "free.test": ["127.0.0.1"] },
    extraRoots: [ca.certificateFile],
    destinations: [destinationFor(upstream, "free.test")],
    config: { timeouts: { request_head_ms: 700, guest_idle_ms: 1500, body_idle_ms: 900 } },
  });
});

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

const authority = (): string => `free.test:${upstream.port}`;

async function rssMb(): Promise<number> {
  const status = await readFile(`/proc/${edge.process.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

/** A guest that asks one question after the other until told to stop. @returns latencies in `ms`, sorted */
async function askOn(isOver: (asked: number) => boolean): Promise<number[]> {
  const session = await openHttp2(edge.proxyPort, authority());
  const latencies: number[] = [];
  while (!isOver(latencies.length)) {
    const at = latencies.length % 1000;
    const startedMs = performance.now();
    const answer = await ask(session, { ":path": "/range", range: `bytes=${at}-${at}` });
    latencies.push(performance.now() - startedMs);
    expect([answer.status, answer.fields.get("content-range")?.split("/")[0]]).toEqual([206, `bytes ${at}-${at}`]);
  }
  session.destroy();
  return latencies.sort((a, b) => a - b);
}

const p99 = (sorted: readonly number[]): number => sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN;

function startFlood(name: FloodName): Promise<readonly FloodEnd[]> {
  const workerData: FloodOrder = { port: edge.proxyPort, authority: authority(), name, rounds: ROUNDS };
  const worker = new Worker(new URL("support/h2-flooder.ts", import.meta.url), { workerData });
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

/** How the edge cuts the offender: a denial in the audit, or a code on the wire. */
const CUT: readonly (readonly [name: FloodName, denial: string | null, codes: readonly number[]])[] = [
  ["10,000 streams that are reset at once", "http2_violation", []],
  ["10,000 streams that break a rule each", "http2_violation", []],
  ["10,000 streams that the edge has to reset", "http2_violation", []],
  ["1000 streams beyond the limit", "http2_violation", []],
  ["CONTINUATION without end", "http2_violation", []],
  ["empty CONTINUATION without end", "http2_violation", []],
  ["SETTINGS", "http2_violation", []],
  ["PING", "http2_violation", []],
  ["empty DATA", "http2_violation", []],
  ["PRIORITY", "http2_violation", []],
  ["WINDOW_UPDATE", "request_timeout", []],
  ["100 large answers that nobody reads", null, [8]],
  ["100 bodies that never end", "request_timeout", []],
  ["a head that drips in", null, []],
  ["1000 heads that unfold to megabytes", "http2_violation", [11]],
];

test.each(CUT)("%s", async (name, denial, codes) => {
  const before = p99(await askOn((asked) => asked >= 2000));
  const rssBefore = await rssMb();
  const recordsBefore = (await edge.audit()).length;
  let isOver = false;
  let peak = rssBefore;
  const watch = setInterval(() => void rssMb().then((now) => (peak = Math.max(peak, now))), 50);
  const flood = startFlood(name).finally(() => (isOver = true));
  const during = await askOn((asked) => isOver && asked >= 2000);
  const ends = await flood;
  clearInterval(watch);
  expect(ends.map(({ closed }) => closed)).toEqual(Array(ROUNDS).fill(true));
  for (const { resets } of ends) expect(codes.filter((code) => !resets.includes(code))).toEqual([]);
  const denied = async (code: string): Promise<number> =>
    (await edge.audit()).slice(recordsBefore).filter((record) => record["denial"] === code).length;
  // Records are written in groups, and the guest may learn of its end first.
  if (denial !== null)
    await expect.poll(() => denied(denial), { timeout: 20_000, interval: 50 }).toBeGreaterThanOrEqual(ROUNDS);
  expect(await denied("internal")).toBe(0);
  expect(peak - rssBefore).toBeLessThan(MAX_GROWTH_MB);
  const ratio = p99(during) / before;
  process.stderr.write(
    `note: ${name}: p99 of another guest x ${ratio.toFixed(1)} (${before.toFixed(1)} -> ${p99(during).toFixed(1)} ms, ` +
      `${during.length} asked), memory + ${Math.round(peak - rssBefore)} MB, GOAWAY ${ends.map(({ goaway }) => goaway).join()}\n`,
  );
});
