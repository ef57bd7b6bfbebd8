import { createServer, type Server as PlainServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createServer as createHttp2Server, type Http2Server } from "node:http2";
import { afterEach, describe, expect, test } from "vitest";
import { eventually } from "../line/support/joined.ts";
import { Body, Pooled, type PooledOptions } from "./support/pooled.ts";

/** Whose time runs: an upstream whose answer waits for the guest to read is not late. */

const BODY_IDLE_MS = 200;

let pooled: Pooled;
let server: PlainServer | Http2Server;

afterEach(async () => {
  await pooled.stop();
  server.close();
});

const startHttp1 = async (): Promise<PooledOptions> => {
  server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\nConnection: close\r\n\r\n");
      socket.end(Buffer.alloc(8_000_000, 7));
    });
  });
  await new Promise<void>((resolve) => void (server as PlainServer).listen(0, "127.0.0.1", resolve));
  return { destination: { scheme: "http", http: "h1" } };
};

const startHttp2 = async (): Promise<PooledOptions> => {
  server = createHttp2Server();
  server.on("stream", (stream) => {
    stream.on("error", () => undefined);
    stream.respond({ ":status": 200 });
    stream.end(Buffer.alloc(8_000_000, 7));
  });
  await new Promise<void>((resolve) => void (server as Http2Server).listen(0, "127.0.0.1", resolve));
  return { destination: { scheme: "http", http: "h2c" } };
};

test.each([
  ["HTTP/1.1", startHttp1],
  ["HTTP/2", startHttp2],
])("an answer over %s that the guest does not read goes on when it does", async (_name, start) => {
  const options = await start();
  const { port } = server.address() as AddressInfo;
  pooled = new Pooled(port, {
    ...options,
    timeouts: { bodyIdleMs: BODY_IDLE_MS, upstreamHeadMs: 5000, upstreamKeepaliveMs: 100 },
  });
  const answer = pooled.begin(await pooled.connect(), { takes: false });
  await eventually(() => answer.flushes > 0, "the first piece");
  await pooled.passed(4 * BODY_IDLE_MS);
  expect(answer.failure).toBeNull();
  answer.takes = true;
  answer.channel.resume();
  await answer.over;
  expect(answer).toMatchObject({ ended: true, bytes: 8_000_000, failure: null });
});

const continueHttp1 = async (): Promise<PooledOptions> => {
  server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => setTimeout(() => socket.write("HTTP/1.1 100 Continue\r\n\r\n"), BODY_IDLE_MS / 2));
  });
  await new Promise<void>((resolve) => void (server as PlainServer).listen(0, "127.0.0.1", resolve));
  return { destination: { scheme: "http", http: "h1" } };
};

const continueHttp2 = async (): Promise<PooledOptions> => {
  server = createHttp2Server();
  server.on("stream", (stream) => {
    stream.on("error", () => undefined);
    setTimeout(() => stream.additionalHeaders({ ":status": 100 }), BODY_IDLE_MS / 2);
  });
  await new Promise<void>((resolve) => void (server as Http2Server).listen(0, "127.0.0.1", resolve));
  return { destination: { scheme: "http", http: "h2c" } };
};

describe.each([
  ["HTTP/1.1", continueHttp1],
  ["HTTP/2", continueHttp2],
])("leave to send the body, given over %s,", (_name, start) => {
  test("makes the guest the one who is late, and gives it its time", async () => {
    const options = await start();
    const { port } = server.address() as AddressInfo;
    pooled = new Pooled(port, { ...options, timeouts: { bodyIdleMs: BODY_IDLE_MS, upstreamKeepaliveMs: 100 } });
    const answer = pooled.begin(await pooled.connect(), {
      method: "POST",
      body: new Body(5, null, true),
      fields: [
        ["Expect", "100-continue"],
        ["Content-Length", "5"],
      ],
    });
    let continuedMs = 0;
    answer.interim = () => {
      continuedMs = pooled.nowMs();
    };
    await answer.over;
    expect(answer.failure).toMatchObject({ denial: { code: "request_timeout" } });
    expect(continuedMs).toBeGreaterThan(0);
    expect(pooled.nowMs() - continuedMs).toBeGreaterThan(BODY_IDLE_MS / 2);
  });
});
