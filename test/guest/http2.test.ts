import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type ClientHttp2Session, constants } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { makeCa, type TestLeaf } from "../house/support/certificates.ts";
import {
  eventually,
  type Joined,
  type JoinedOptions,
  type Scripted,
  standstill,
  startJoined,
  startScripted,
  TOKEN,
} from "../line/support/joined.ts";
import { END_HEADERS, frame, FrameReader, headers, PREFACE, reset, settings, TYPE } from "./support/h2-frames.ts";
import { answerOf, ask, openHttp2, openSecure } from "./support/h2-guest.ts";

/** HTTP/2 of a guest in front of an HTTP/1.1 upstream: what each stream says is what the upstream sees. */

let joined: Joined;
let upstream: Scripted;
let session: ClientHttp2Session | null = null;
let directory: string;
let leaf: TestLeaf;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-http2-"));
  leaf = await (await makeCa(directory)).issue(["api.test"]);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

afterEach(async () => {
  session?.destroy();
  session = null;
  await joined.stop();
  await upstream.close();
  expect(joined.faults).toEqual([]);
  await eventually(() => joined.sweep.size === 0, "the end of every deadline");
});

async function start(
  serve: Parameters<typeof startScripted>[0],
  options: JoinedOptions = {},
): Promise<ClientHttp2Session> {
  upstream = await startScripted(serve);
  joined = await startJoined({ leaf, ...options });
  session = await openHttp2(joined.port, authority());
  return session;
}

const authority = (): string => `api.test:${upstream.port}`;
const headOf = (received: string): string => received.slice(0, received.indexOf("\r\n\r\n") + 4);

/** Answers each request once its head is there. */
const answering =
  (answer: string): Parameters<typeof startScripted>[0] =>
  (socket, received) => {
    if (received.endsWith("\r\n\r\n")) socket.write(answer);
  };

describe("a request", () => {
  test("goes upstream with the credential, Host first, its fields in order, cookies joined", async () => {
    const guest = await start(answering("HTTP/1.1 200 Fine\r\nX-One: a\r\nX-One: b\r\nContent-Length: 2\r\n\r\nok"));
    const answer = await ask(guest, {
      ":path": "/a/%2f/../b?q=1&&",
      "x-b": ["1", "2"],
      cookie: ["a=1", "b=2"],
      authorization: "Bearer stolen",
      "proxy-authorization": "Basic c2VjcmV0",
      te: "trailers",
    });
    expect(answer.status).toBe(200);
    expect(answer.body.toString()).toBe("ok");
    expect(answer.raw).toEqual([":status", "200", "x-one", "a", "x-one", "b", "content-length", "2"]);
    expect(headOf(upstream.received[0] ?? "")).toBe(
      `GET /a/%2f/../b?q=1&& HTTP/1.1\r\nHost: ${authority()}\r\nx-b: 1\r\nx-b: 2\r\ncookie: a=1; b=2\r\n` +
        `Authorization: Bearer ${TOKEN}\r\nConnection: TE\r\nTE: trailers\r\n\r\n`,
    );
    await eventually(() => joined.records.length === 2, "the records of CONNECT and stream");
    expect(joined.records[1]).toMatchObject({ kind: "http", method: "GET", path: "/a/%2f/../b", status: 200 });
    expect(joined.records[1]).toMatchObject({ injected: true, outcome: "completed", bytesToGuest: 2 });
  });

  test("with content of unknown length goes out chunked, with its trailers; of known length as it is", async () => {
    const guest = await start((socket, received) => {
      if (/\r\n0\r\n.*\r\n\r\n$/s.test(received)) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      else if (received.endsWith("known")) socket.write("HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
    });
    const stream = guest.request({ ":method": "POST", ":path": "/", trailer: "x-sum" }, { waitForTrailers: true });
    const answer = answerOf(stream);
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "5", authorization: "Bearer stolen" }));
    stream.end("hello");
    expect((await answer).status).toBe(200);
    expect(upstream.received[0]).toMatch(/Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n$/);
    const known = await ask(guest, { ":method": "PUT", ":path": "/", "content-length": 5 }, "known");
    expect(known.status).toBe(201);
    expect(upstream.received[0]).toMatch(/content-length: 5\r\nAuthorization: [^\r]*\r\n\r\nknown$/);
  });

  test("that is answered while it comes is handed on whole before its guest ends it, and ends with it", async () => {
    let content = 0;
    let last = "";
    const guest = await start((socket) => {
      if (socket.listenerCount("data") > 1) return;
      socket.on("data", (segment: Buffer) => {
        for (const byte of segment) if (byte === 0x78) content++;
        last = segment.toString("latin1");
      });
      // As git's server: the head of the answer at once, and for a while nothing is read.
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      socket.pause();
    });
    const stream = guest.request({ ":method": "POST", ":path": "/" });
    const answer = answerOf(stream);
    const began = once(stream, "response");
    const piece = Buffer.alloc(65_521, "x");
    const pieces = 320;
    let begun = 0;
    const more = (): void => {
      while (begun < pieces) {
        begun++;
        if (!stream.write(piece)) {
          stream.once("drain", more);
          return;
        }
      }
    };
    more();
    await began;
    let before = -1;
    let still = 0;
    await eventually(() => {
      still = begun === before ? still + 1 : 0;
      before = begun;
      return still === 20;
    }, "a guest that is held back");
    expect(begun).toBeLessThan(pieces);
    content = upstream.received[0]?.match(/x/g)?.length ?? 0;
    const [socket] = upstream.sockets;
    socket?.resume();
    await eventually(() => content === pieces * piece.length, "all of the body");
    expect(last).toMatch(/x\r\n$/);
    stream.end();
    await eventually(() => last.endsWith("0\r\n\r\n"), "the end of the body");
    socket?.write("2\r\nok\r\n0\r\n\r\n");
    expect(await answer).toMatchObject({ status: 200, whole: true, body: Buffer.from("ok") });
  });

  test("POST without content says so to an HTTP/1.1 upstream", async () => {
    const guest = await start(answering("HTTP/1.1 204 OK\r\n\r\n"));
    expect((await ask(guest, { ":method": "POST", ":path": "/" })).status).toBe(204);
    expect(upstream.received[0]).toContain("content-length: 0\r\n");
  });

  // Of a HEAD Node does not tell that it was reset.
  test.each(["POST", "HEAD"])(
    "a body of %s that the guest resets never looks whole, whatever the code",
    async (method) => {
      await start(() => undefined);
      const secured = await openSecure(joined.port, authority());
      const reader = new FrameReader(secured);
      secured.write(Buffer.concat([Buffer.from(PREFACE), settings()]));
      for (const [stream, code] of [
        [1, 0],
        [3, 8],
        [5, 2],
      ] as const) {
        const head = [
          [":method", method],
          [":scheme", "https"],
          [":path", `/${code}`],
          [":authority", authority()],
        ] as const;
        secured.write(headers(stream, head, END_HEADERS));
        secured.write(frame(TYPE.data, 0, stream, Buffer.from("half")));
        await eventually(
          () => upstream.received.some((text) => text.includes(`/${code} `) && text.includes("half")),
          "half",
        );
        secured.write(reset(stream, code));
      }
      await eventually(() => joined.records.length === 5, "the records");
      await eventually(() => upstream.sockets.every((socket) => socket.destroyed || socket.readableEnded), "the end");
      for (const text of upstream.received) expect(text).not.toContain("\r\n0\r\n");
      expect(joined.records.slice(2).map(({ outcome }) => outcome)).toEqual(Array(3).fill("guest_aborted"));
      expect(reader.closed).toBe(false);
      secured.destroy();
    },
  );

  test("100 comes from the upstream alone, 103 passes, 101 never does", async () => {
    const guest = await start((socket, received) => {
      if (received.endsWith("\r\n\r\n")) {
        expect(received).toContain("expect: 100-continue\r\n");
        socket.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
      } else if (received.endsWith("body")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    const stream = guest.request(
      { ":method": "POST", ":path": "/", expect: "100-continue", "content-length": 4 },
      { endStream: false },
    );
    const answer = answerOf(stream);
    stream.on("continue", () => stream.end("body"));
    expect(await answer).toMatchObject({ status: 200, interims: [103, 100] });
  });
});

describe("an answer", () => {
  test("chunked: its trailers pass, END_STREAM comes after them", async () => {
    const guest = await start(
      answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nAge: 1\r\n\r\n",
      ),
    );
    const answer = await ask(guest, { ":path": "/" });
    expect(answer).toMatchObject({ status: 200, whole: true, resetCode: 0 });
    expect(answer.body.toString()).toBe("ok");
    expect([...answer.trailers]).toEqual([["x-sum", "7"]]);
  });

  test("has trailers as long as they may be, wherever the limit of heads is", async () => {
    const trailers = Array.from({ length: 12 }, (_, i) => `X-T${i}: ${"v".repeat(1000)}\r\n`).join("");
    const text = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n${trailers}\r\n`;
    const guest = await start(answering(text), { limits: { headBytes: 4096, headFields: 32 } });
    const answer = await ask(guest, { ":path": "/" });
    expect(answer).toMatchObject({ status: 200, whole: true, resetCode: 0 });
    expect(answer.trailers.size).toBe(12);
  });

  test("chunked without trailers ends cleanly", async () => {
    const guest = await start(answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
    const answer = await ask(guest, { ":path": "/" });
    expect(answer).toMatchObject({ status: 200, whole: true, resetCode: 0 });
    expect(answer.trailers.size).toBe(0);
  });

  test.each([
    { framing: "a length", head: "Content-Length: 10", body: "half" },
    { framing: "chunks", head: "Transfer-Encoding: chunked", body: "4\r\nhalf\r\n" },
  ])("of $framing that breaks off is reset, never ended", async ({ head, body }) => {
    await start((socket, received) => {
      if (received.endsWith("\r\n\r\n")) socket.end(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n${body}`);
    });
    const secured = await openSecure(joined.port, authority());
    const reader = new FrameReader(secured);
    const request = [
      [":method", "GET"],
      [":scheme", "https"],
      [":path", "/"],
      [":authority", authority()],
    ] as const;
    secured.write(Buffer.concat([Buffer.from(PREFACE), settings(), headers(1, request)]));
    await eventually(() => reader.codes().has(1), "the reset");
    expect(reader.codes().get(1)).toBe(constants.NGHTTP2_INTERNAL_ERROR);
    expect(Buffer.concat(reader.of(TYPE.data, 1).map(({ payload }) => payload)).toString()).toMatch(/^(half)?$/);
    expect(reader.frames.filter(({ type, flags }) => type <= TYPE.headers && (flags & 1) === 1)).toEqual([]);
    await eventually(() => joined.records.length === 3, "the record");
    expect(joined.records[2]).toMatchObject({ outcome: "upstream_aborted" });
    secured.destroy();
  });

  test.each(["Content-Length: 7\r\n\r\ncontent", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"])(
    "205 has no content, and no length that says otherwise: %j",
    async (rest) => {
      const guest = await start(answering(`HTTP/1.1 205 X\r\n${rest}`));
      const answer = await ask(guest, { ":path": "/" });
      expect(answer).toMatchObject({ status: 205, whole: true, resetCode: 0 });
      expect([answer.body.length, answer.raw]).toEqual([0, [":status", "205"]]);
    },
  );

  test("HEAD, 204 and 304 have no content", async () => {
    const guest = await start((socket, received) => {
      const status = /\/(\d+) HTTP\/1\.1\r\n(?!.*HTTP\/1\.1)/s.exec(received)?.[1] ?? "200";
      if (received.endsWith("\r\n\r\n"))
        socket.write(`HTTP/1.1 ${status} X\r\nContent-Length: ${status === "204" ? "0" : "7"}\r\n\r\n`);
    });
    const head = await ask(guest, { ":method": "HEAD", ":path": "/200" });
    expect(head).toMatchObject({ status: 200, whole: true });
    expect(head.fields.get("content-length")).toBe("7");
    expect(await ask(guest, { ":path": "/204" })).toMatchObject({ status: 204, whole: true });
    expect(await ask(guest, { ":path": "/304" })).toMatchObject({ status: 304, whole: true });
  });

  test("its first bytes pass when they come", async () => {
    let send = (_text: string): void => undefined;
    const guest = await start((socket) => {
      send = (text) => void socket.write(text);
      send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    });
    const stream = guest.request({ ":path": "/" });
    stream.setEncoding("latin1");
    await new Promise((resolve) => stream.once("response", resolve));
    for (const event of ["one", "two"]) {
      const came = new Promise((resolve) => stream.once("data", resolve));
      send(`3\r\n${event}\r\n`);
      expect(await came).toBe(event);
    }
    stream.close();
  });
});

describe("streams of one connection", () => {
  test("one that is not read stalls no other, and holds the upstream back", async () => {
    const sent = new Map<string, number>();
    const guest = await start((socket, received, index) => {
      if (!received.endsWith("\r\n\r\n")) return;
      if (received.includes("GET /small")) {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        return;
      }
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      const chunk = `4000\r\n${"x".repeat(0x4000)}\r\n`;
      const more = (): void => {
        if (socket.destroyed) return;
        sent.set(String(index), (sent.get(String(index)) ?? 0) + 0x4000);
        if ((sent.get(String(index)) ?? 0) > 64 * 1024 * 1024) return;
        if (socket.write(chunk)) setImmediate(more);
        else socket.once("drain", more);
      };
      more();
    });
    const stalled = guest.request({ ":path": "/large" });
    stalled.pause();
    await new Promise((resolve) => stalled.once("response", resolve));
    await standstill(() => sent.get("0") ?? 0, "a still upstream");
    // Socket buffers on the way hold some megabytes; the edge holds next to nothing.
    expect(sent.get("0") ?? 0).toBeLessThan(32 * 1024 * 1024);
    for (let i = 0; i < 5; i++) expect((await ask(guest, { ":path": "/small" })).body.toString()).toBe("ok");
    stalled.close();
  });

  test("uploads that the upstream does not read stall no other, and hold the guest back", async () => {
    // How long a stall may last is another matter.
    const timeouts = { bodyIdleMs: 600_000, upstreamHeadMs: 600_000 };
    const guest = await start(
      (socket, received) => {
        if (received.startsWith("POST /stalled ")) socket.pause();
        else if (received.endsWith("last")) socket.write("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
      },
      { timeouts },
    );
    // Socket buffers on the way hold some megabytes of each; the edge holds next to nothing.
    const most = 64 * 1024 * 1024;
    let sent = 0;
    const stalled = Array.from({ length: 5 }, () => {
      const stream = guest.request({ ":method": "POST", ":path": "/stalled" });
      stream.on("error", () => undefined);
      const more = (): void => {
        do sent += 65_536;
        while (sent < most && stream.write(Buffer.alloc(65_536)));
        if (sent < most) stream.once("drain", more);
      };
      more();
      return stream;
    });
    await eventually(() => upstream.sockets.length === stalled.length, "all of them");
    await standstill(() => sent, "a still guest");
    expect(sent).toBeLessThan(most);
    const body = `${"x".repeat(500_000)}last`;
    const head = { ":method": "POST", ":path": "/taken", "content-length": body.length };
    for (let i = 0; i < 3; i++) expect((await ask(guest, head, body)).status).toBe(204);
    for (const stream of stalled) stream.close(constants.NGHTTP2_CANCEL);
  });

  test("60 at once are answered, each with its own", async () => {
    const guest = await start((socket, received) => {
      const path = /GET (\S+) HTTP\/1\.1\r\n(?!.*HTTP\/1\.1)/s.exec(received)?.[1] ?? "";
      if (received.endsWith("\r\n\r\n"))
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
    });
    const paths = Array.from({ length: 60 }, (_, i) => `/${i}`);
    const answers = await Promise.all(paths.map((path) => ask(guest, { ":path": path })));
    expect(answers.map(({ body }) => body.toString())).toEqual(paths);
    expect(joined.leases.length).toBe(60);
  });

  test("more than a guest may have over all its connections are refused by name; one that ends makes room", async () => {
    const guest = await start(() => undefined, { limits: { connectionsPerGuest: 3 } });
    const other = await openHttp2(joined.port, authority());
    const held = [guest, guest, other].map((session) => session.request({ ":path": "/held" }));
    for (const stream of held) stream.on("error", () => undefined);
    await eventually(() => upstream.received.length === 3, "three requests");
    const refused = await ask(guest, { ":path": "/" });
    expect([refused.status, refused.fields.get("x-deny-reason")]).toEqual([503, "connection_limit"]);
    held[2]?.close();
    await eventually(() => upstream.sockets.some((socket) => socket.destroyed), "the end of one");
    const next = guest.request({ ":path": "/next" });
    next.on("error", () => undefined);
    await eventually(() => upstream.received.some((text) => text.startsWith("GET /next")), "the next request");
    other.destroy();
  });

  test("a reset of one leaves the others alone, and ends its upstream request at once", async () => {
    const guest = await start((socket, received) => {
      if (received.endsWith("\r\n\r\n") && received.includes("GET /other"))
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    const doomed = guest.request({ ":path": "/doomed" });
    doomed.on("error", () => undefined);
    await eventually(() => upstream.received.some((text) => text.includes("/doomed")), "the request");
    doomed.close(constants.NGHTTP2_CANCEL);
    await eventually(
      () => upstream.sockets[0]?.destroyed === true || upstream.sockets[0]?.readableEnded === true,
      "its end",
    );
    expect((await ask(guest, { ":path": "/other" })).status).toBe(200);
  });
});

describe("ALPN", () => {
  test.each([
    { offer: ["h2", "http/1.1"], chosen: "h2" },
    { offer: ["http/1.1", "h2"], chosen: "http/1.1" },
    { offer: ["h3", "h2"], chosen: "h2" },
    { offer: ["http/1.1"], chosen: "http/1.1" },
    { offer: ["http/1.0"], chosen: "http/1.0" },
  ])("$offer: $chosen", async ({ offer, chosen }) => {
    await start(() => undefined);
    const secured = await openSecure(joined.port, authority(), offer);
    expect(secured.alpnProtocol).toBe(chosen);
    secured.destroy();
  });

  test("an HTTP/2 preface that was not agreed on is refused", async () => {
    await start(() => undefined);
    const secured = await openSecure(joined.port, authority(), ["http/1.1"]);
    let text = "";
    secured.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
    });
    secured.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    await new Promise((resolve) => secured.once("close", resolve));
    expect(text).toMatch(/^HTTP\/1\.1 400 .*x-deny-reason: request_malformed/s);
    expect(upstream.received).toEqual([]);
  });

  test("where no streams are allowed, HTTP/2 is not offered", async () => {
    upstream = await startScripted(() => undefined);
    joined = await startJoined({ leaf, limits: { http2Streams: 0 } });
    const secured = await openSecure(joined.port, authority(), ["h2", "http/1.1"]);
    expect(secured.alpnProtocol).toBe("http/1.1");
    secured.destroy();
  });
});

describe("the end of a connection", () => {
  test("a drain lets streams finish and begins none", async () => {
    let finish = (): void => undefined;
    const guest = await start(
      (socket, received) => {
        if (received.endsWith("\r\n\r\n"))
          finish = () => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      },
      { timeouts: { drainMs: 10_000 } },
    );
    const answer = ask(guest, { ":path": "/" });
    await eventually(() => upstream.received.length === 1, "the request");
    const goaway = new Promise((resolve) => guest.once("goaway", resolve));
    const drained = joined.drain();
    await goaway;
    finish();
    expect((await answer).status).toBe(200);
    await drained;
  });

  test("idle: GOAWAY, and then the end", async () => {
    const guest = await start(answering("HTTP/1.1 204 OK\r\n\r\n"), {
      timeouts: { guestIdleMs: 300, requestHeadMs: 300 },
    });
    await ask(guest, { ":path": "/" });
    await new Promise((resolve) => guest.once("close", resolve));
  });

  test("total life: what runs is cut, and the record says by whom", async () => {
    const guest = await start(() => undefined, { timeouts: { tunnelLifeMs: 500 } });
    await ask(guest, { ":path": "/" });
    await eventually(() => joined.records.length === 2, "the record");
    expect(joined.records[1]).toMatchObject({ outcome: "edge_aborted" });
  });

  test.each(["answer", "request"])("full duplex: one side listens for as long as the %s goes on", async (moving) => {
    const guest = await start(
      (socket, received) => {
        if (received.endsWith("\r\n\r\n"))
          socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n");
      },
      { timeouts: { bodyIdleMs: 1500 } },
    );
    const stream = guest.request({ ":method": "POST", ":path": "/" }, { endStream: false });
    const answer = answerOf(stream);
    await new Promise((resolve) => stream.once("response", resolve));
    for (let i = 0; i < 24; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      if (moving === "answer") upstream.sockets[0]?.write("1\r\n.\r\n");
      else stream.write(".");
    }
    upstream.sockets[0]?.write("0\r\n\r\n");
    stream.end();
    const { body, whole } = await answer;
    expect([body.length, whole]).toEqual([moving === "answer" ? 29 : 5, true]);
  });

  test("a guest that stops reading is let go after the idle time", async () => {
    const guest = await start(
      (socket, received) => {
        if (received.endsWith("\r\n\r\n"))
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n${"x".repeat(4_000_000)}`);
      },
      { timeouts: { bodyIdleMs: 100 } },
    );
    const stream = guest.request({ ":path": "/" });
    stream.on("error", () => undefined);
    stream.pause();
    await eventually(() => joined.records.length === 2, "the record");
    expect(joined.records[1]?.outcome).toMatch(/guest_aborted|upstream_aborted/);
  });
});
