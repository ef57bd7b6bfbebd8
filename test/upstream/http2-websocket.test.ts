import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { afterEach, describe, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { eventually } from "../line/support/joined.ts";
import { type Asked2, type Http2Upstream, startHttp2 } from "./support/http2-server.ts";
import { type Answer, Pooled } from "./support/pooled.ts";

/** WebSockets over HTTP/2 (RFC 8441): inside the house they look as over HTTP/1.1. */

let upstream: Http2Upstream;
let pooled: Pooled;

afterEach(async () => {
  await upstream.close();
  await pooled.stop();
});

async function start(serve: (asked: Asked2) => void, enableConnectProtocol = true): Promise<void> {
  upstream = await startHttp2(serve, { settings: { enableConnectProtocol } });
  pooled = new Pooled(upstream.port, { destination: { scheme: "http", http: "h2c" } });
}

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const handshake = (more: readonly [string, string][] = [["Sec-WebSocket-Key", KEY]]): [string, string][] => [
  ["Sec-WebSocket-Version", "13"],
  ["Sec-WebSocket-Protocol", "chat"],
  ["Origin", "https://guest.test"],
  ...more,
];

const ask = (fields = handshake()): Promise<Answer> => pooled.ask({ target: "/ws?x=1", upgrade: "websocket", fields });

const asked = (): Asked2 => upstream.requests[0] as Asked2;

describe("an extended CONNECT", () => {
  test("carries the handshake without what belongs to HTTP/1.1, and is answered as HTTP/1.1 would be", async () => {
    await start(({ stream }) => stream.respond({ ":status": 200, "sec-websocket-protocol": "chat" }));
    const answer = await ask();
    expect(asked().raw).toEqual([
      ":method",
      "CONNECT",
      ":scheme",
      "http",
      ":authority",
      "api.test",
      ":path",
      "/ws?x=1",
      ":protocol",
      "websocket",
      "sec-websocket-version",
      "13",
      "sec-websocket-protocol",
      "chat",
      "origin",
      "https://guest.test",
    ]);
    expect(answer.finalHead).toMatchObject({ status: 101, reason: "Switching Protocols", length: "none" });
    // The example of RFC 6455 §1.3.
    expect(answer.finalHead?.fields.all("sec-websocket-accept")).toEqual(["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
    expect(answer.finalHead?.fields.get("sec-websocket-protocol")).toBe("chat");
    answer.stream?.destroy();
  });

  test("carries bytes both ways, each direction closed on its own", async () => {
    const hash = createHash("sha256");
    let received = 0;
    await start(({ stream }) => {
      stream.respond({ ":status": 200 });
      stream.write("hello");
      stream.on("data", (chunk: Buffer) => {
        hash.update(chunk);
        received += chunk.length;
      });
      stream.on("end", () => stream.end("bye"));
    });
    const { stream } = await ask();
    if (stream === null) throw new Error("no stream");
    let text = "";
    stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
    const sent = randomBytes(3_000_000);
    for (let at = 0; at < sent.length; at += 50_000) {
      if (!stream.write(sent.subarray(at, at + 50_000))) await once(stream, "drain");
    }
    stream.end();
    await once(stream, "end");
    expect(text).toBe("hellobye");
    expect(received).toBe(sent.length);
    expect(hash.digest("hex")).toBe(createHash("sha256").update(sent).digest("hex"));
    await eventually(() => asked().resetCode !== null && stream.destroyed, "the end of the stream");
    expect(asked().resetCode).toBe(0);
  });

  test("whose reader is slow holds the upstream back, and loses nothing when that ends first", async () => {
    await start(({ stream }) => {
      stream.respond({ ":status": 200 });
      stream.end(Buffer.alloc(5_000_000, 7));
      stream.resume();
    });
    const { stream } = await ask();
    if (stream === null) throw new Error("no stream");
    stream.end();
    await new Promise((resolve) => setTimeout(resolve, 100));
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => (bytes += chunk.length));
    await once(stream, "end");
    expect(bytes).toBe(5_000_000);
  });

  test("that is destroyed resets the stream with CANCEL", async () => {
    await start(({ stream }) => stream.respond({ ":status": 200 }));
    const { stream } = await ask();
    stream?.destroy();
    await eventually(() => asked().resetCode !== null, "the reset");
    expect(asked().resetCode).toBe(8);
  });

  test("whose last bytes find no window yet does not lose them", async () => {
    let received = 0;
    let take = (): void => undefined;
    await start(({ stream }) => {
      stream.respond({ ":status": 200 });
      stream.on("data", (chunk: Buffer) => (received += chunk.length));
      stream.pause();
      stream.end("bye");
      take = () => void stream.resume();
    });
    const { stream } = await ask();
    if (stream === null) throw new Error("no stream");
    stream.resume();
    // More than the window of the upstream, which reads nothing for now.
    stream.end(Buffer.alloc(200_000));
    await once(stream, "end");
    await new Promise((resolve) => setTimeout(resolve, 100));
    take();
    await eventually(() => received === 200_000, "the last bytes");
    await eventually(() => asked().resetCode !== null, "the end of the stream");
    expect(asked().resetCode).toBe(0);
  });

  test("that the upstream breaks off is closed without an end", async () => {
    await start(({ stream }) => {
      stream.respond({ ":status": 200 });
      stream.write("part");
    });
    const { stream } = await ask();
    if (stream === null) throw new Error("no stream");
    let ended = false;
    stream.on("end", () => (ended = true));
    stream.on("data", () => {
      for (const socket of upstream.sockets) socket.destroy();
    });
    await once(stream as unknown as NodeJS.EventEmitter, "close");
    expect(ended).toBe(false);
    stream.write("too late");
  });

  test("that is not granted is an ordinary answer", async () => {
    await start(({ stream }) => {
      stream.respond({ ":status": 403, "x-why": "test" });
      stream.end("not");
    });
    const answer = await ask();
    expect(answer).toMatchObject({ ended: true, status: 403, text: "not", stream: null });
    await eventually(() => asked().resetCode !== null, "the end of the stream");
  });
});

describe("nothing is sent", () => {
  test("to an upstream that takes no extended CONNECT", async () => {
    await start(() => undefined, false);
    await expect(ask()).rejects.toMatchObject({ code: "upgrade_unsupported" });
    expect(upstream.requests).toEqual([]);
  });

  test.each([
    ["no key", []],
    [
      "two keys",
      [
        ["Sec-WebSocket-Key", KEY],
        ["Sec-WebSocket-Key", KEY],
      ],
    ],
  ] as [string, [string, string][]][])("of a handshake with %s", async (_name, more) => {
    await start(() => undefined);
    await expect(ask(handshake(more))).rejects.toMatchObject({ code: "request_malformed" });
    expect(upstream.requests).toEqual([]);
  });

  test.each(["POST", "HEAD", "DELETE"])("of a handshake by %s: what would be sent stands for a GET", async (method) => {
    await start(() => undefined);
    const asking = pooled.ask({ method, target: "/ws", upgrade: "websocket", fields: handshake() });
    await expect(asking).rejects.toMatchObject({ code: "request_malformed" });
    expect(upstream.requests).toEqual([]);
  });
});

test("whoever cannot take a granted stream is told so, and the stream is reset", async () => {
  await start(({ stream }) => stream.respond({ ":status": 200 }));
  const answer = pooled.begin(await pooled.connect(), { target: "/ws", upgrade: "websocket", fields: handshake() });
  answer.upgraded = () => {
    throw new Denial("upstream_protocol", { cause: "said by the test" });
  };
  await answer.over;
  expect(answer.failure).toMatchObject({ denial: { code: "upstream_protocol" }, standing: "perhaps_done" });
  await eventually(() => asked().resetCode !== null, "the reset");
});
