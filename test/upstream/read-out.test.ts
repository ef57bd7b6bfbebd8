import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectTcp, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DeadlineSweep } from "../../src/core/deadline.ts";
import { Fields } from "../../src/core/fields.ts";
import type { BodySink } from "../../src/core/wire.ts";
import { UpstreamConnection } from "../../src/upstream/connection.ts";
import { makeCa, type TestLeaf } from "../house/support/certificates.ts";

/** An upstream that answers in the middle of an upload and resets: its answer is there, but the next write fails first. */

let directory = "";
let leaf: TestLeaf;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-read-out-"));
  leaf = await (await makeCa(directory)).issue(["api.test"]);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

/** In a thread of its own, so that it answers and resets while the edge's thread is busy; says when the reset has left. */
const UPSTREAM = `
const { parentPort, workerData: { answer, key, cert, flag } } = require("node:worker_threads");
let wire;
const serve = (socket) => {
  socket.on("error", () => undefined);
  socket.once("data", () => socket.write(answer, "latin1", () => {
    wire.once("close", () => { Atomics.store(flag, 0, 1); Atomics.notify(flag, 0); });
    wire.resetAndDestroy();
  }));
};
const server = key === null ? require("node:net").createServer(serve) : require("node:tls").createServer({ key, cert }, serve);
server.on("connection", (socket) => { wire = socket; socket.on("error", () => undefined); });
server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port));
`;

const answerOf = (bytes: number): string => `HTTP/1.1 413 X\r\nContent-Length: ${bytes}\r\n\r\n${"x".repeat(bytes)}`;
const UNTIL_CLOSE = "HTTP/1.1 413 X\r\n\r\nhello";

test.each([
  ["over TCP", false, 10],
  ["over TLS", true, 10],
  ["over TCP, a longer one, taken with pauses", false, 50_000],
  ["over TLS, a longer one, taken with pauses", true, 50_000],
])("%s: the whole answer is read, and the connection not used again", async (_name, isTls, bytes) => {
  expect(await upload(isTls, answerOf(bytes))).toEqual({ status: 413, bytes, end: "end", idle: 0, closed: 1 });
});

test.each([
  ["a write that was stuck fails", 8_000_000, 1000],
  ["several writes fail", 1000, 100_000],
])("%s: the reading goes on", async (_name, first, rest) => {
  const told = await upload(false, answerOf(10), first, rest);
  expect(told).toEqual({ status: 413, bytes: 10, end: "end", idle: 0, closed: 1 });
});

test.each([
  ["that is not whole", answerOf(10).slice(0, -1), 9],
  ["that lasts until the connection ends", UNTIL_CLOSE, 5],
])("an answer %s stays broken", async (_name, answer, bytes) => {
  expect(await upload(false, answer)).toEqual({
    status: 413,
    bytes,
    end: "upstream_unreachable",
    idle: 0,
    closed: 1,
  });
});

test("no answer at all is told as before", async () => {
  expect(await upload(false, "")).toMatchObject({ status: 0, end: "upstream_unreachable", closed: 1 });
});

interface Outcome {
  status: number;
  bytes: number;
  end: string;
  idle: number;
  closed: number;
}

/**
 * Sends a part of the body, waits without a look at any socket until the upstream has reset, sends the rest in three writes.
 * @param first size of that part, `bytes`; 8 MB are more than the kernel takes
 * @param rest size of each of the three, `bytes`
 */
async function upload(isTls: boolean, answer: string, first = 1000, rest = 1000): Promise<Outcome> {
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const keys = isTls ? { key: leaf.key, cert: leaf.certificate } : { key: null, cert: null };
  const worker = new Worker(UPSTREAM, { eval: true, workerData: { answer, flag, ...keys } });
  const [port] = (await once(worker, "message")) as [number];
  const to = { host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true };
  const socket: Socket = isTls ? connectTls({ ...to, rejectUnauthorized: false }) : connectTcp(to);
  await once(socket, isTls ? "secureConnect" : "connect");
  const told: Outcome = { status: 0, bytes: 0, end: "", idle: 0, closed: 0 };
  const connection = new UpstreamConnection(socket, "127.0.0.1", {
    clock: { monotonicMs: () => 0, wallMs: () => 0 },
    sweep: new DeadlineSweep(),
    timeouts: { upstreamConnectMs: 1000, upstreamHeadMs: 1000, bodyIdleMs: 1000, upstreamKeepaliveMs: 1000 },
    limits: { headBytes: 1000, headFields: 10, trailerBytes: 100, trailerFields: 10, interimResponses: 1 },
    onIdle: () => void told.idle++,
    onClosed: () => void told.closed++,
  });
  let body: BodySink | null = null;
  await new Promise<void>((done) => {
    const over = (how: string): void => {
      told.end = how;
      done();
    };
    connection.send(
      { method: "POST", target: "/", fields: Fields.of([["Host", "api.test"]]) },
      {
        body: {
          length: first + rest * 3,
          expectContinue: false,
          start(sink: BodySink) {
            body = sink;
            sink.bodyData(Buffer.alloc(first));
            sink.bodyFlush();
          },
          resume: () => undefined,
        },
        upgrade: null,
        filter: null,
        wantsTrailers: false,
        cleanseTrailers: () => undefined,
      },
      {
        interim: () => undefined,
        head: ({ status }) => void (told.status = status),
        data: (chunk) => void (told.bytes += chunk.length),
        end: () => over("end"),
        // A guest that takes its time: read on a little later.
        flush: () => {
          setTimeout(() => connection.resume(), 2);
          return false;
        },
        upgraded: () => undefined,
        failed: ({ code }) => over(code),
      },
    );
    // The first half leaves in this turn or, through TLS, in the next one.
    setImmediate(() => {
      Atomics.wait(flag, 0, 0);
      for (let i = 0; i < 3; i++) {
        body?.bodyData(Buffer.alloc(rest));
        if (i === 2) body?.bodyEnd(null);
        body?.bodyFlush();
      }
    });
  });
  await new Promise((done) => setImmediate(done));
  connection.abort();
  await worker.terminate();
  return told;
}
