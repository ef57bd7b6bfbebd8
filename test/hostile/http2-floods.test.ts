import { type ChildProcess, fork } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClientHttp2Session } from "node:http2";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { ask, openHttp2 } from "../guest/support/h2-guest.ts";
import { makeCa } from "../house/support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "../house/support/edge.ts";
import { startUpstream, type Upstream } from "../house/support/upstream.ts";
import { FlooderProcess } from "./support/flooder-process.ts";
import type { FloodEnd } from "./support/h2-flooder.ts";
import type { FloodName } from "./support/h2-floods.ts";

/**
 * HTTP/2 floods against a real edge: it stays up and bounded, whoever floods is cut with a code, and another guest is answered
 * rightly all along. How much slower that one is served is printed, never judged: the machine is shared.
 */

/** Times of peace and of flood by turns, so that a mood of the machine hits both alike. Who is cut in a time of flood comes back. */
const ROUNDS = 2;
/** What the other guest asks at least in each of them; a p99 of fewer than 2,000 in all is chance. */
const ASKED = 1000;
/** Further floods, where none has read a code that it was to be told. */
const MOST_MORE = 20;
/** Generous: what is looked for grows with every frame of hundreds of thousands. */
const MAX_GROWTH_MB = 150;

let directory = "";
let upstream: Upstream;
let edge: Edge;
let flooderChild: ChildProcess;
let flooder: FlooderProcess;
let flooded: Pick<Upstream, "address" | "port" | "scheme">;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-http2-floods-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  upstream = await startUpstream({ tls: await ca.issue(["free.test"]) });
  const leaf = await ca.issue(["flooded.test"]);
  flooderChild = fork(new URL("support/h2-flooder.ts", import.meta.url), [JSON.stringify(leaf)], { execArgv: [] });
  flooder = await FlooderProcess.ready(flooderChild);
  flooded = { address: "127.0.0.1", port: flooder.upstreamPort, scheme: "https" };
  edge = await startEdge({
    hosts: { "free.test": ["127.0.0.1"], "flooded.test": ["127.0.0.1"] },
    extraRoots: [ca.certificateFile],
    destinations: [destinationFor(upstream, "free.test"), destinationFor(flooded, "flooded.test")],
    config: { timeouts: { request_head_ms: 1500, guest_idle_ms: 2500, body_idle_ms: 1500 } },
  });
});

afterAll(async () => {
  flooderChild?.kill();
  await edge?.stop();
  await upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

async function rssMb(): Promise<number> {
  const status = await readFile(`/proc/${edge.process.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

/** A guest that asks one question after the other until it is told to stop. @returns latencies in `ms` */
async function askOn(session: ClientHttp2Session, isOver: (asked: number) => boolean): Promise<number[]> {
  const latencies: number[] = [];
  while (!isOver(latencies.length)) {
    const at = latencies.length % 1000;
    const startedMs = performance.now();
    const answer = await ask(session, { ":path": "/range", range: `bytes=${at}-${at}` });
    latencies.push(performance.now() - startedMs);
    expect([answer.status, answer.fields.get("content-range")?.split("/")[0]]).toEqual([206, `bytes ${at}-${at}`]);
  }
  return latencies;
}

function p99(latencies: number[]): number {
  return latencies.sort((a, b) => a - b)[Math.floor(latencies.length * 0.99)] ?? Number.NaN;
}

function flood(name: FloodName, localAddress: string): Promise<FloodEnd> {
  const authority = `flooded.test:${flooder.upstreamPort}`;
  return flooder.flood({ edgePort: edge.proxyPort, authority, name, localAddress });
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

// Each holds as long as a busy machine takes for its thousands of questions.
test.each(CUT)("%s", { timeout: 180_000 }, async (name, denial, codes) => {
  // Long as they are by now: an edge does not wait for a guest that reads them between two requests.
  const recordsBefore = (await edge.audit()).length;
  const session = await openHttp2(edge.proxyPort, `free.test:${upstream.port}`, "127.0.0.2");
  // The edge remembers who has flooded.
  const flooding = `127.0.1.${1 + CUT.findIndex(([each]) => each === name)}`;
  // What comes first finds code that was never compiled.
  await askOn(session, (asked) => asked >= ASKED);
  const rssBefore = await rssMb();
  let peak = rssBefore;
  const look = (): void => void rssMb().then((now) => (peak = Math.max(peak, now)));
  const watch = setInterval(look, 50);
  onTestFinished(() => clearInterval(watch));
  const peace: number[] = [];
  const war: number[] = [];
  const ends: FloodEnd[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    peace.push(...(await askOn(session, (asked) => asked >= ASKED)));
    const asked = { count: 0, isEnough: false };
    const asking = askOn(session, (count) => {
      asked.count = count;
      return asked.isEnough;
    });
    // Whoever is not answered rightly fails at once, and not after the floods.
    const failing = asking.then(() => Promise.reject(new Error("it asks until it is told to stop")));
    failing.catch(() => undefined);
    do ends.push(await Promise.race([flood(name, flooding), failing]));
    while (asked.count < ASKED);
    asked.isEnough = true;
    war.push(...(await asking));
  }
  session.destroy();
  // Cut by a reset, a flood may never read what its streams were reset with; of many one does.
  const isTold = (): boolean => codes.every((code) => ends.some(({ resets }) => resets.includes(code)));
  for (let i = 0; i < MOST_MORE && !isTold(); i++) ends.push(await flood(name, flooding));
  expect(ends.map(({ closed }) => closed)).toEqual(ends.map(() => true));
  expect(ends.flatMap(({ resets }) => resets)).toEqual(expect.arrayContaining([...codes]));
  const denied = async (code: string): Promise<number> =>
    (await edge.audit()).slice(recordsBefore).filter((record) => record["denial"] === code).length;
  // Records are written in groups, and the guest may learn of its end first.
  if (denial !== null) await expect.poll(() => denied(denial)).toBeGreaterThanOrEqual(ends.length);
  expect(await denied("internal")).toBe(0);
  expect(peak - rssBefore).toBeLessThan(MAX_GROWTH_MB);
  const [before, during] = [p99(peace), p99(war)];
  process.stderr.write(
    `note: ${name}: p99 of another guest x ${(during / before).toFixed(1)} (${before.toFixed(1)} -> ${during.toFixed(1)} ms, ` +
      `${war.length} asked, ${ends.length} floods), memory + ${Math.round(peak - rssBefore)} MB, ` +
      `GOAWAY ${[...new Set(ends.map(({ goaway }) => goaway))].join()}\n`,
  );
});
