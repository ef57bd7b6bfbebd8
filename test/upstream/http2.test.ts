import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { Fields } from "../../src/core/fields.ts";
import { makeCa, type TestCa, type TestLeaf } from "../house/support/certificates.ts";
import { eventually } from "../line/support/joined.ts";
import { type Asked2, type Http2ServerOptions, type Http2Upstream, startHttp2 } from "./support/http2-server.ts";
import { Body, pairsOf, Pooled, type PooledOptions } from "./support/pooled.ts";

/** HTTP/2 towards upstreams: what crosses the wire, and how each side learns of the other's end. */

let directory: string;
let ca: TestCa;
let leaf: TestLeaf;
let upstream: Http2Upstream;
let pooled: Pooled;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-http2-"));
  ca = await makeCa(join(directory, "ca"));
  leaf = await ca.issue(["api.test"]);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

afterEach(async () => {
  await upstream.close();
  await pooled.stop();
});

/** An upstream over TLS that speaks nothing but HTTP/2, and the pools towards it. */
async function start(
  serve: (asked: Asked2) => void,
  options: PooledOptions = {},
  server: Http2ServerOptions = { tls: leaf },
): Promise<void> {
  upstream = await startHttp2(serve, server);
  const { destination = {}, ...rest } = options;
  pooled = new Pooled(upstream.port, {
    ...rest,
    destination: { scheme: "https", http: "h2", ...destination },
    roots: [ca.certificate],
  });
}

const asked = (i = 0): Asked2 => upstream.requests[i] as Asked2;

test("full duplex: an upstream listens for as long as the request goes on", async () => {
  await start(
    ({ stream }) => {
      stream.respond({ ":status": 200 });
      stream.write("begin ");
      stream.on("data", () => undefined);
      stream.on("end", () => stream.end("end"));
    },
    { timeouts: { bodyIdleMs: 1500 } },
  );
  const body = new Body("stream");
  const answer = pooled.begin(await pooled.connect(), { method: "POST", body });
  await eventually(() => answer.text === "begin ", "the begin of the answer");
  for (let i = 0; i < 24; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    body.sink?.bodyData(Buffer.from("."));
    body.sink?.bodyFlush();
  }
  body.sink?.bodyEnd(null);
  body.sink?.bodyFlush();
  await answer.over;
  expect([answer.text, answer.failure]).toEqual(["begin end", null]);
});

describe("a request", () => {
  test("is a field list: pseudo fields, lower-case names, order and duplicates kept, nothing of the connection", async () => {
    await start(({ stream }) => stream.respond({ ":status": 200 }, { endStream: true }));
    const answer = await pooled.ask({
      target: "/a/../b?x=%2f",
      fields: [
        ["X-Two", "1"],
        ["Accept", "*/*"],
        ["x-two", "2"],
        ["X-Empty", ""],
        ["X-Latin", "caf\u00e9"],
        ["Connection", "close"],
        ["Keep-Alive", "timeout=5"],
        ["Transfer-Encoding", "chunked"],
        ["Authorization", "one"],
        ["Authorization", "two"],
      ],
      wantsTrailers: true,
    });
    expect(answer.status).toBe(200);
    expect(asked().raw).toEqual([
      ":method",
      "GET",
      ":scheme",
      "https",
      ":authority",
      "api.test",
      ":path",
      "/a/../b?x=%2f",
      "x-two",
      "1",
      "accept",
      "*/*",
      "x-two",
      "2",
      "x-empty",
      "",
      "x-latin",
      "caf\u00e9",
      "authorization",
      "one",
      "authorization",
      "two",
      "te",
      "trailers",
    ]);
  });

  test("never lets what the edge wrote into a compression table", async () => {
    await start(({ stream }) => stream.respond({ ":status": 200 }, { endStream: true }));
    const attached = (fields: Fields): void => {
      fields.replace(2, "replaced");
      fields.append("X-Api-Key", "secret");
    };
    await pooled.ask({
      fields: [
        ["x-guest", "g"],
        ["x-swap", "stand-in"],
      ],
      edit: attached,
    });
    expect(asked().raw).toEqual(expect.arrayContaining(["x-swap", "replaced", "x-api-key", "secret"]));
    expect([...asked().sensitive].toSorted()).toEqual([":path", "x-api-key", "x-swap"]);
  });

  test("carries its body and its trailers", async () => {
    let body = "";
    await start(({ stream }) => {
      stream.on("data", (chunk: Buffer) => (body += chunk.toString()));
      stream.on("end", () => stream.respond({ ":status": 200 }, { endStream: true }));
    });
    const trailers = Fields.of([
      ["X-Sum", "1"],
      ["x-sum", "2"],
    ]);
    await pooled.ask({ method: "POST", body: Body.of("hello", trailers) });
    expect(body).toBe("hello");
    expect(asked().trailers).toEqual(["x-sum", "1", "x-sum", "2"]);
    await pooled.ask({ method: "POST", body: Body.of("world"), fields: [["Content-Length", "5"]] });
    expect(body).toBe("helloworld");
    expect(asked(1).raw).toEqual(expect.arrayContaining(["content-length", "5"]));
    expect(asked(1).trailers).toEqual([]);
  });

  test("waits for an upstream that reads slowly, and goes on when it does", async () => {
    await start(
      ({ stream }) => stream.respond({ ":status": 200 }),
      { destination: { scheme: "http", http: "h2c" } },
      {},
    );
    const body = new Body("stream");
    const answer = pooled.begin(await pooled.connect(), { method: "POST", body });
    const chunk = Buffer.alloc(16_384, 1);
    let sent = 0;
    await eventually(() => upstream.requests.length === 1, "the request");
    for (let isWanted = true; isWanted && sent < 10_000_000; sent += chunk.length) {
      body.sink?.bodyData(chunk);
      isWanted = body.sink?.bodyFlush() === true;
    }
    // The peer's window is 64 KB and nobody reads.
    expect(sent).toBeLessThan(1_000_000);
    let received = 0;
    asked().stream.on("data", (part: Buffer) => (received += part.length));
    await eventually(() => body.resumes > 0, "leave to go on");
    body.sink?.bodyEnd(null);
    asked().stream.on("end", () => asked().stream.end());
    await answer.over;
    expect(answer.ended).toBe(true);
    expect(received).toBe(sent);
  });

  test("that breaks off is reset, and so is one whose guest goes away", async () => {
    await start(() => undefined);
    const body = new Body("stream");
    const first = pooled.begin(await pooled.connect(), { method: "POST", body });
    const second = pooled.begin(await pooled.connect());
    await eventually(() => upstream.requests.length === 2, "both requests");
    body.sink?.bodyBroken(new Denial("request_malformed"));
    second.channel.abort();
    await eventually(() => asked().resetCode !== null && asked(1).resetCode !== null, "both resets");
    expect([asked().resetCode, asked(1).resetCode]).toEqual([8, 8]);
    expect(first.failure).toMatchObject({
      denial: { code: "request_malformed" },
      standing: "perhaps_done",
      resetCode: null,
    });
    expect(second.failure).toBeNull();
    // The session is as good as before.
    expect(upstream.connections).toBe(1);
    expect(pooled.opened).toBe(1);
  });
});

describe("an answer", () => {
  test("keeps order and duplicates, gets the standard reason, and loses what belongs to a connection", async () => {
    await start(({ stream }) => {
      stream.respond([
        ":status",
        "418",
        "set-cookie",
        "a=1",
        "x-a",
        "1",
        "set-cookie",
        "b=2",
        "alt-svc",
        "h3",
        "proxy-x",
        "y",
      ]);
      stream.end("tea");
    });
    const answer = await pooled.ask();
    expect(answer).toMatchObject({ ended: true, text: "tea", trailers: null });
    expect(answer.finalHead).toMatchObject({ status: 418, reason: "I'm a Teapot", length: "stream" });
    expect(pairsOf(answer.finalHead?.fields).filter(([name]) => name !== "date")).toEqual([
      ["set-cookie", "a=1"],
      ["x-a", "1"],
      ["set-cookie", "b=2"],
    ]);
  });

  test("may be preceded by 1xx, whose number is bounded", async () => {
    await start(
      ({ stream, raw }) => {
        const many = Number(raw[raw.indexOf("x-many") + 1]);
        for (let i = 0; i < many; i++) stream.additionalHeaders({ ":status": 103, link: `<${i}>` });
        stream.respond({ ":status": 200 }, { endStream: true });
      },
      { limits: { interimResponses: 2 } },
    );
    const two = await pooled.ask({ fields: [["x-many", "2"]] });
    expect(two.interims.map(({ status, reason, fields }) => [status, reason, fields.get("link")])).toEqual([
      [103, "Early Hints", "<0>"],
      [103, "Early Hints", "<1>"],
    ]);
    expect(two.ended).toBe(true);
    const three = await pooled.ask({ fields: [["x-many", "3"]] });
    expect(three.failure).toMatchObject({ denial: { code: "upstream_protocol" }, resetCode: null });
  });

  test("100 Continue comes through before the body leaves", async () => {
    await start(({ stream }) => {
      stream.additionalHeaders({ ":status": 100 });
      stream.resume().on("end", () => stream.respond({ ":status": 200 }, { endStream: true }));
    });
    const body = new Body(5, null, true);
    const answer = pooled.begin(await pooled.connect(), {
      method: "POST",
      body,
      fields: [
        ["Expect", "100-continue"],
        ["Content-Length", "5"],
      ],
    });
    await eventually(() => answer.interims.length === 1, "100 Continue");
    expect(asked().raw).toEqual(expect.arrayContaining(["expect", "100-continue"]));
    body.sink?.bodyData(Buffer.from("hello"));
    body.sink?.bodyEnd(null);
    body.sink?.bodyFlush();
    await answer.over;
    expect(answer.ended).toBe(true);
  });

  test("has trailers of any name, but for those that no trailer may be", async () => {
    await start(({ stream }) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () =>
        stream.sendTrailers({ "grpc-status": "0", "my-meta": ["a", "b"], "set-cookie": "x=1", "proxy-status": "p" }),
      );
      stream.end("x");
    });
    const answer = await pooled.ask({}, { http2: true });
    expect(pairsOf(answer.trailers)).toEqual([
      ["grpc-status", "0"],
      ["my-meta", "a"],
      ["my-meta", "b"],
    ]);
  });

  test.each([
    ["a head alone", { ":status": 200, "grpc-status": "5" }, "GET", "none"],
    ["204", { ":status": 204 }, "GET", "none"],
    ["304 with a length", { ":status": 304, "content-length": "77" }, "GET", "none"],
    ["HEAD with a length", { ":status": 200, "content-length": "77" }, "HEAD", "none"],
  ])("without content ends with its head: %s", async (_name, headers, method, length) => {
    await start(({ stream }) => stream.respond(headers, { endStream: true }));
    const answer = await pooled.ask({ method });
    expect(answer).toMatchObject({ ended: true, trailers: null, bytes: 0 });
    expect(answer.finalHead?.length).toBe(length);
  });

  test("and its request may have large heads", async () => {
    const value = "v".repeat(15_000);
    await start(({ stream }) => {
      stream.respond({ ":status": 200, "x-a": value, "x-b": value, "x-c": value }, { endStream: true });
    });
    const large = ["x-a", "x-b", "x-c"].map((name): [string, string] => [name, value]);
    const answer = await pooled.ask({ fields: large });
    expect(asked().raw.filter((each) => each === value)).toHaveLength(3);
    expect(pairsOf(answer.finalHead?.fields).filter(([name]) => name !== "date")).toEqual(large);
  });

  test("is read no faster than it is taken, and other streams go on meanwhile", async () => {
    await start(({ stream, raw }) => {
      stream.respond({ ":status": 200 });
      if (raw.includes("/large")) stream.end(Buffer.alloc(8_000_000, 7));
      else stream.end("small");
    });
    const slow = pooled.begin(await pooled.connect(), { target: "/large", takes: false });
    await eventually(() => slow.flushes > 0, "the first piece");
    for (let i = 0; i < 20; i++) expect((await pooled.ask({ target: "/small" })).text).toBe("small");
    expect(slow.bytes).toBeLessThan(1_000_000);
    slow.takes = true;
    slow.channel.resume();
    await slow.over;
    expect(slow).toMatchObject({ ended: true, bytes: 8_000_000 });
    expect(upstream.connections).toBe(1);
  });

  test("that comes ahead of the request's end stops the request", async () => {
    await start(({ stream }) => {
      stream.respond({ ":status": 413 });
      stream.end("no");
    });
    const body = new Body("stream", (sink) => {
      sink.bodyData(Buffer.from("begin"));
      sink.bodyFlush();
    });
    const answer = await pooled.ask({ method: "POST", body });
    expect(answer).toMatchObject({ ended: true, status: 413, text: "no" });
    await eventually(() => asked().resetCode !== null, "the end of the stream");
    body.sink?.bodyData(Buffer.from("more"));
    expect(body.sink?.bodyFlush()).toBe(true);
  });
});

describe("a reset by the upstream", () => {
  test("in the middle of an answer carries its code", async () => {
    await start(({ stream }) => {
      stream.respond({ ":status": 200 });
      stream.write("part", () => setTimeout(() => resetWith(stream, 2), 20));
    });
    const answer = await pooled.ask();
    expect(answer.text).toBe("part");
    expect(answer.failure).toMatchObject({
      denial: { code: "upstream_unreachable" },
      standing: "perhaps_done",
      resetCode: 2,
    });
  });

  test("with NO_ERROR in the middle of an answer is no end of it", async () => {
    await start(({ stream }) => {
      stream.respond({ ":status": 200 });
      stream.write("part", () => setTimeout(() => resetWith(stream, 0), 20));
    });
    const answer = await pooled.ask();
    expect(answer.ended).toBe(false);
    expect(answer.failure).toMatchObject({ denial: { code: "upstream_unreachable" }, resetCode: 2 });
  });

  test("that refuses the stream says that it can be asked again", async () => {
    await start(({ stream }) => stream.close(7));
    const answer = await pooled.ask({ method: "POST", body: Body.of("x") });
    expect(answer.failure).toMatchObject({ denial: { code: "upstream_unreachable" }, standing: "untouched" });
  });
});

/** RST_STREAM with a code, and nothing ahead of it: Node's `close` may end the stream first. */
function resetWith(stream: object, code: number): void {
  const symbol = Object.getOwnPropertySymbols(stream).find((each) => each.description === "kHandle") as symbol;
  const handle = (stream as Record<symbol, { rstStream(code: number): void }>)[symbol];
  handle?.rstStream(code);
}
