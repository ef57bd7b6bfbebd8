import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeCa, type TestCa, type TestLeaf } from "../house/support/certificates.ts";
import { Pooled } from "./support/pooled.ts";

/**
 * An upstream may have answered before Node tells that a request was written. Where the edge sends from a late phase of its event
 * loop that is the rule: TLS says so in the next turn, and answers are read before.
 */

let directory = "";
let ca: TestCa;
let leaf: TestLeaf;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-answered-at-once-"));
  ca = await makeCa(directory);
  leaf = await ca.issue(["api.test"]);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

/** In a thread of its own, so that it answers while this one does nothing. */
const UPSTREAM = `
  const { createServer } = require("node:tls");
  const { parentPort, workerData } = require("node:worker_threads");
  const server = createServer(workerData.tls, (socket) => {
    socket.on("error", () => undefined);
    socket.on("data", () => socket.write(workerData.answer));
  });
  server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port));
`;

const WHOLE = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async function upstream(answer: string): Promise<{ readonly port: number; readonly close: () => Promise<unknown> }> {
  const worker = new Worker(UPSTREAM, {
    eval: true,
    workerData: { tls: { key: leaf.key, cert: leaf.certificate }, answer },
  });
  const port = await new Promise<number>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  return { port, close: () => worker.terminate() };
}

/** Time in which this thread does nothing and the upstream answers. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

const timeouts = { upstreamKeepaliveMs: 300, upstreamConnectMs: 5000, upstreamHeadMs: 5000 };

test("the connection serves the next exchange all the same", async () => {
  const { port, close } = await upstream(WHOLE);
  const pooled = new Pooled(port, { destination: { scheme: "https" }, roots: [ca.certificate], timeouts });
  await pooled.ask();
  for (let i = 0; i < 10; i++) {
    await nextTurn();
    const answer = pooled.begin(await pooled.connect());
    standStill(20);
    await answer.over;
    expect([answer.failure, Buffer.concat(answer.chunks).toString()]).toEqual([null, "ok"]);
    await nextTurn();
  }
  expect(pooled).toMatchObject({ opened: 1, reused: 10 });
  await pooled.stop();
  await close();
});

test("what follows such an answer poisons the connection", async () => {
  const { port, close } = await upstream(`${WHOLE}${WHOLE}`);
  const pooled = new Pooled(port, { destination: { scheme: "https" }, roots: [ca.certificate], timeouts });
  for (let i = 0; i < 5; i++) {
    await nextTurn();
    const answer = pooled.begin(await pooled.connect());
    standStill(20);
    await answer.over;
    await nextTurn();
  }
  expect(pooled).toMatchObject({ opened: 5, reused: 0 });
  await pooled.stop();
  await close();
});
