import { afterEach, describe, expect, test } from "vitest";
import { eventually } from "../line/support/joined.ts";
import {
  ACK,
  block,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  type FramePeer,
  type FrameServer,
  type FrameServerOptions,
  GOAWAY,
  headers,
  HEADERS,
  PING,
  PRIORITY,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  settings,
  startFrames,
  u32,
  WINDOW_UPDATE,
} from "./support/http2-frames.ts";
import { Body, pairsOf, Pooled, type PooledOptions } from "./support/pooled.ts";

/** An upstream that wants to harm: every story ends in one clean refusal, in bounded time and memory. */

let server: FrameServer;
let pooled: Pooled;

afterEach(async () => {
  await server.close();
  await pooled.stop();
});

/** @param answer to the HEADERS of each request */
async function start(
  answer: (peer: FramePeer, stream: number) => void,
  options: PooledOptions = {},
  serverOptions: FrameServerOptions = {},
): Promise<void> {
  server = await startFrames((peer, got) => {
    if (got.type === HEADERS) answer(peer, got.stream);
  }, serverOptions);
  pooled = new Pooled(server.port, { ...options, destination: { scheme: "http", http: "h2c" } });
}

const OK: [string, string] = [":status", "200"];

describe("a head that breaks the grammar is refused", () => {
  const bad: [string, [string, string][]][] = [
    ["no status", [["x-a", "1"]]],
    ["an empty status", [[":status", ""]]],
    ["a status of four digits", [[":status", "2000"]]],
    ["a status that is no number", [[":status", "2xx"]]],
    ["status 101", [[":status", "101"]]],
    ["status 600", [[":status", "600"]]],
    ["two statuses", [OK, OK]],
    ["a pseudo field of requests", [OK, [":path", "/"]]],
    ["a pseudo field after the others", [["x-a", "1"], OK]],
    ["an upper-case name", [OK, ["X-A", "1"]]],
    ["Connection", [OK, ["connection", "close"]]],
    ["Transfer-Encoding", [OK, ["transfer-encoding", "chunked"]]],
    ["a length that is none", [OK, ["content-length", "ten"]]],
    ["a negative length", [OK, ["content-length", "-1"]]],
    ["two lengths", [OK, ["content-length", "4"], ["content-length", "4"]]],
    ["a list of lengths", [OK, ["content-length", "4, 4"]]],
  ];

  test.each(bad)("%s", async (_name, fields) => {
    await start((peer, stream) => peer.send(headers(stream, 0, ...fields), frame(DATA, END_STREAM, stream, "body")));
    const answer = await pooled.ask();
    expect(answer.failure).toMatchObject({ denial: { code: "upstream_protocol" }, standing: "perhaps_done" });
    expect(answer.finalHead).toBeNull();
  });
});

describe("a field that breaks the grammar does not come through", () => {
  const bad: [string, [string, string][]][] = [
    ["a name with a blank", [OK, ["x a", "1"]]],
    ["a name with a line break", [OK, ["x-a\r\nx-b", "1"]]],
    ["an empty name", [OK, ["", "1"]]],
    ["a value with a line break", [OK, ["x-a", "1\r\nx-b: 2"]]],
    ["a value with NUL", [OK, ["x-a", "1\u00002"]]],
    ["a value with a control", [OK, ["x-a", "1\u00012"]]],
  ];

  // nghttp2 takes them out ahead of our own check.
  test.each(bad)("%s", async (_name, fields) => {
    await start((peer, stream) =>
      peer.send(headers(stream, 0, ...fields, ["x-kept", "1"]), frame(DATA, END_STREAM, stream, "body")),
    );
    const answer = await pooled.ask();
    expect(pairsOf(answer.finalHead?.fields)).toEqual([["x-kept", "1"]]);
  });
});

describe("a body that is not what its head said", () => {
  test.each([
    ["longer", "GET", [["content-length", "3"]], "body"],
    ["shorter", "GET", [["content-length", "5"]], "body"],
    ["there after HEAD", "HEAD", [["content-length", "4"]], "body"],
  ] as [string, string, [string, string][], string][])("is broken off: %s", async (_name, method, fields, body) => {
    await start((peer, stream) => peer.send(headers(stream, 0, OK, ...fields), frame(DATA, END_STREAM, stream, body)));
    const answer = await pooled.ask({ method });
    expect(answer.ended).toBe(false);
    expect(answer.failure).toMatchObject({ denial: { code: "upstream_protocol" } });
  });

  test("is refused where the head ends the stream and promises bytes", async () => {
    await start((peer, stream) => peer.send(headers(stream, END_STREAM, OK, ["content-length", "5"])));
    const answer = await pooled.ask();
    expect(answer.failure).toMatchObject({ denial: { code: "upstream_protocol" } });
    expect(answer.finalHead).toBeNull();
  });
});

describe("too much", () => {
  test("of a head: fields", async () => {
    const many = Array.from({ length: 60 }, (_, i): [string, string] => [`x-${i}`, "1"]);
    await start((peer, stream) => peer.send(headers(stream, END_STREAM, OK, ...many)), { limits: { headFields: 50 } });
    expect((await pooled.ask()).failure).toMatchObject({ denial: { code: "upstream_protocol" } });
  });

  test("of a head: bytes", async () => {
    await start((peer, stream) => peer.send(headers(stream, END_STREAM, OK, ["x-a", "a".repeat(9000)])), {
      limits: { headBytes: 8000 },
    });
    expect((await pooled.ask()).failure).toMatchObject({ denial: { code: "upstream_protocol" } });
  });

  test("of a head that never ends", async () => {
    let peer: FramePeer | null = null;
    await start((to, stream) => {
      peer = to;
      to.send(frame(HEADERS, 0, stream, block(OK)));
      for (let i = 0; i < 2000; i++) to.send(frame(CONTINUATION, 0, stream, block(["x-a", "a".repeat(8000)])));
    });
    expect((await pooled.ask()).failure).toMatchObject({ denial: { code: "upstream_protocol" } });
    await eventually(() => peer?.socket.destroyed === true, "the end of the session");
  });

  test("of a head that is small on the wire: a table entry again and again", async () => {
    await start(
      (peer, stream) => {
        // A literal that enters the table (RFC 7541 §6.2.1), and then its index 62 a thousand times.
        const entry = Buffer.concat([Buffer.of(0x40), block(["x-a", "a".repeat(3000)]).subarray(1)]);
        const bomb = Buffer.concat([block(OK), entry, Buffer.alloc(1000, 0x80 | 62)]);
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, bomb));
      },
      { limits: { headFields: 2000 } },
    );
    expect((await pooled.ask()).failure).toMatchObject({ denial: { code: "upstream_protocol" } });
  });

  test("of trailers", async () => {
    await start(
      (peer, stream) =>
        peer.send(
          headers(stream, 0, OK),
          frame(DATA, 0, stream, "body"),
          headers(stream, END_STREAM, ["x-a", "a".repeat(500)]),
        ),
      { limits: { trailerBytes: 400 } },
    );
    const answer = await pooled.ask();
    expect(answer.ended).toBe(false);
    expect(answer.failure).toMatchObject({ denial: { code: "upstream_protocol" } });
  });

  test("of interim answers", async () => {
    await start((peer, stream) => {
      for (let i = 0; i < 5000; i++) peer.send(headers(stream, 0, [":status", "103"]));
    });
    const answer = await pooled.ask();
    expect(answer.failure).toMatchObject({ denial: { code: "upstream_protocol" } });
    expect(answer.interims).toHaveLength(16);
  });
});

describe("frames in the wrong place", () => {
  const stories: [string, (peer: FramePeer, stream: number) => void][] = [
    [
      "a push",
      (peer, stream) =>
        peer.send(frame(PUSH_PROMISE, END_HEADERS, stream, Buffer.concat([u32(2), block([":method", "GET"])]))),
    ],
    ["DATA ahead of the head", (peer, stream) => peer.send(frame(DATA, 0, stream, "early"))],
    [
      "an interim answer that ends the stream",
      (peer, stream) => peer.send(headers(stream, END_STREAM, [":status", "103"])),
    ],
    ["frames of a stream that nobody opened", (peer) => peer.send(headers(99, 0, OK))],
    ["a frame that is too long", (peer, stream) => peer.send(frame(DATA, 0, stream, Buffer.alloc(20_000)))],
    ["a frame of stream 0", (peer) => peer.send(frame(DATA, 0, 0, "x"))],
    ["a window that overflows", (peer, stream) => peer.send(frame(WINDOW_UPDATE, 0, stream, u32(0x7fffffff)))],
    ["a window update of nothing", (peer) => peer.send(frame(WINDOW_UPDATE, 0, 0, u32(0)))],
    [
      "a field block that is none",
      (peer, stream) => peer.send(frame(HEADERS, END_HEADERS, stream, Buffer.of(0xff, 0xff, 0xff))),
    ],
    ["an answer of HTTP/1.1", (peer) => peer.socket.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")],
    ["noise", (peer) => peer.socket.write(Buffer.alloc(100_000, 0xa7))],
  ];

  test.each(stories)("%s", async (_name, story) => {
    await start(story, { timeouts: { upstreamHeadMs: 300 } });
    const answer = await pooled.ask();
    expect(answer.ended).toBe(false);
    expect(answer.failure?.denial.code).toMatch(/^upstream_(protocol|unreachable|timeout)$/);
    expect(answer.finalHead).toBeNull();
    // The next one finds a session that works, or none.
    expect((await pooled.ask()).failure?.denial.code).toMatch(/^upstream_/);
  });

  test("a second head in the middle of an answer", async () => {
    await start((peer, stream) =>
      peer.send(headers(stream, 0, OK), frame(DATA, 0, stream, "part"), headers(stream, 0, [":status", "200"])),
    );
    const answer = await pooled.ask();
    expect(answer.ended).toBe(false);
    expect(answer.failure).toMatchObject({ denial: { code: "upstream_protocol" } });
  });

  test("a head of status 421, which is about origins", async () => {
    await start((peer, stream) => peer.send(headers(stream, END_STREAM, [":status", "421"])));
    expect(await pooled.ask()).toMatchObject({ ended: true, status: 421 });
  });
});

describe("floods", () => {
  const N = 20_000;
  const floods: [string, (peer: FramePeer, stream: number) => Buffer][] = [
    ["SETTINGS", () => settings([4, 65_535])],
    ["PING", () => frame(PING, 0, 0, Buffer.alloc(8))],
    ["acknowledgements of nothing", () => frame(SETTINGS, ACK, 0)],
    ["empty DATA", (_peer, stream) => frame(DATA, 0, stream)],
    ["PRIORITY", (_peer, stream) => frame(PRIORITY, 0, stream, Buffer.alloc(5, 1))],
    ["WINDOW_UPDATE", () => frame(WINDOW_UPDATE, 0, 0, u32(1))],
    ["RST_STREAM", (_peer, stream) => frame(RST_STREAM, 0, stream, u32(2))],
    ["ALTSVC", () => frame(10, 0, 0, Buffer.concat([Buffer.of(0, 1), Buffer.from("ah3=x")]))],
    ["ORIGIN", () => frame(12, 0, 0, Buffer.concat([Buffer.of(0, 18), Buffer.from("https://other.test")]))],
    ["frames of a kind that nobody knows", () => frame(77, 0, 0, Buffer.alloc(100))],
  ];

  test.each(floods)("%s: the exchange ends, and so does the connection, one way or the other", async (_name, flood) => {
    await start(
      (peer, stream) => {
        peer.send(headers(stream, 0, OK));
        const one = flood(peer, stream);
        for (let i = 0; i < N; i += 1000) peer.send(...Array.from({ length: 1000 }, () => one));
      },
      { timeouts: { bodyIdleMs: 300, upstreamHeadMs: 300 } },
    );
    const before = process.memoryUsage().rss;
    const answer = await pooled.ask();
    expect(answer.ended).toBe(false);
    expect(answer.failure?.denial.code).toMatch(/^upstream_(protocol|unreachable|timeout)$/);
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
  });

  test("a peer that reads nothing of what it makes the edge say", async () => {
    await start(
      (peer) => {
        peer.socket.pause();
        const ping = frame(PING, 0, 0, Buffer.alloc(8));
        for (let i = 0; i < 200; i++) peer.send(...Array.from({ length: 1000 }, () => ping));
      },
      { timeouts: { upstreamHeadMs: 500 } },
    );
    expect((await pooled.ask()).failure?.denial.code).toMatch(/^upstream_/);
    await eventually(() => pooled.closed === 1, "the end of the session");
  });
});

describe("silence", () => {
  test("a window of nothing for ever ends the request in time", async () => {
    await start(() => undefined, { timeouts: { bodyIdleMs: 100 } }, { greeting: [settings([4, 0])] });
    const body = new Body("stream", (sink) => {
      sink.bodyData(Buffer.alloc(100_000));
      expect(sink.bodyFlush()).toBe(false);
    });
    const answer = await pooled.ask({ method: "POST", body });
    expect(answer.failure).toMatchObject({ denial: { code: "upstream_timeout" }, standing: "perhaps_done" });
    expect(server.framesOf(DATA)).toEqual([]);
  });

  test("no SETTINGS: nothing was sent that matters", async () => {
    await start(() => undefined, { timeouts: { upstreamConnectMs: 100 } }, { greeting: [], acknowledges: false });
    await expect(pooled.ask()).rejects.toMatchObject({ code: "upstream_timeout" });
    expect(server.framesOf(HEADERS)).toEqual([]);
  });

  test.each([
    ["HTTP/1.1", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")],
    ["another frame first", frame(PING, 0, 0, Buffer.alloc(8))],
  ])("no HTTP/2 at all (%s): nothing was sent that matters", async (_name, greeting) => {
    await start(() => undefined, {}, { greeting: [greeting] });
    await expect(pooled.ask()).rejects.toMatchObject({ code: "upstream_protocol" });
    expect(server.framesOf(HEADERS)).toEqual([]);
  });

  test("an upstream that takes no streams is not opened again and again", async () => {
    await start(() => undefined, {}, { greeting: [settings([3, 0])] });
    await expect(pooled.ask()).rejects.toMatchObject({ code: "upstream_unreachable" });
    expect(server.peers).toHaveLength(1);
  });

  test("of a further connection keeps nobody from a place that becomes free meanwhile", async () => {
    await start(
      (peer, stream) => {
        if (stream > 1) peer.send(headers(stream, END_STREAM, OK));
      },
      { timeouts: { upstreamConnectMs: 600 } },
      { greeting: [settings([3, 1])], greeted: "first", acknowledges: false },
    );
    const first = pooled.begin(await pooled.connect());
    const opening = expect(pooled.connect()).rejects.toMatchObject({ code: "upstream_timeout" });
    const joined = [pooled.ask(), pooled.ask()];
    await eventually(() => server.peers.length === 2, "the further connection");
    first.channel.abort();
    for (const each of await Promise.all(joined)) expect(each.ended).toBe(true);
    await opening;
    expect(server.peers).toHaveLength(2);
  });

  test("of a further connection fails whoever waits for that", async () => {
    await start(
      () => undefined,
      { timeouts: { upstreamConnectMs: 300 } },
      { greeting: [settings([3, 1])], greeted: "first", acknowledges: false },
    );
    const first = pooled.begin(await pooled.connect());
    const waiting = Array.from({ length: 3 }, () => pooled.ask());
    for (const { reason } of (await Promise.allSettled(waiting)) as PromiseRejectedResult[])
      expect(reason).toMatchObject({ code: "upstream_timeout" });
    expect(server.peers).toHaveLength(2);
    first.channel.abort();
  });

  test("in the middle of an answer ends it in time", async () => {
    await start((peer, stream) => peer.send(headers(stream, 0, OK), frame(DATA, 0, stream, "part")), {
      timeouts: { bodyIdleMs: 100 },
    });
    const answer = await pooled.ask();
    expect(answer.text).toBe("part");
    expect(answer.failure).toMatchObject({ denial: { code: "upstream_timeout" } });
  });

  test("an answer that drips for longer than the silence is allowed comes through", async () => {
    await start(
      (peer, stream) => {
        peer.send(headers(stream, 0, OK));
        let drops = 0;
        const drip = setInterval(() => {
          peer.send(frame(DATA, ++drops === 10 ? END_STREAM : 0, stream, "."));
          if (drops === 10) clearInterval(drip);
        }, 50);
      },
      { timeouts: { bodyIdleMs: 250 } },
    );
    expect(await pooled.ask()).toMatchObject({ ended: true, text: ".........." });
  });
});

describe("a connection that is dead without a word", () => {
  const pings = (): number => server.framesOf(PING).filter(({ flags }) => (flags & ACK) === 0).length;

  /** Resolves when the edge has read what was sent to it until now: it answers a PING of the server behind that. */
  async function isRead(): Promise<void> {
    const answers = (): number => server.framesOf(PING).filter(({ flags }) => (flags & ACK) !== 0).length;
    const before = answers();
    server.peers.at(-1)?.send(frame(PING, 0, 0, Buffer.from("have you")));
    await eventually(() => answers() > before, "the answer to the server's PING");
  }

  /** Takes a place and gives it back. @returns how many connections there have been */
  async function peersOfNext(): Promise<number> {
    (await pooled.connect()).release();
    return server.peers.length;
  }

  async function startFalling(answersPing: boolean, timeouts: PooledOptions["timeouts"] = {}): Promise<void> {
    server = await startFrames((peer, { type, stream, flags, payload }) => {
      if (type === HEADERS && (stream === 1 || peer.index > 0)) peer.send(headers(stream, END_STREAM, OK));
      if (type === PING && (flags & ACK) === 0 && answersPing) peer.send(frame(PING, ACK, 0, payload));
    });
    pooled = new Pooled(server.port, {
      destination: { scheme: "http", http: "h2c" },
      timeouts: { upstreamConnectMs: 80, upstreamHeadMs: 1000, upstreamKeepaliveMs: 60_000, ...timeouts },
    });
    expect((await pooled.ask()).ended).toBe(true);
  }

  test("is given up once it answers no PING; what waits on it can be asked again", async () => {
    await startFalling(false);
    const answer = await pooled.ask();
    expect(answer.failure).toMatchObject({ denial: { code: "upstream_unreachable" }, standing: "stale" });
    expect(pings()).toBe(1);
    expect((await pooled.ask()).ended).toBe(true);
    expect(server.peers).toHaveLength(2);
  });

  test("is given up, although somebody who waited for it gives up first", async () => {
    await startFalling(false);
    const impatient = pooled.begin(await pooled.connect());
    await eventually(() => pings() === 1, "the PING");
    impatient.channel.abort();
    // Nobody is given what nobody knows to be alive.
    await eventually(() => pooled.closed === 1, "its end");
    expect((await pooled.ask()).ended).toBe(true);
    expect(server.peers).toHaveLength(2);
  });

  test("is given up when it has answered a PING before it died", async () => {
    let isDead = false;
    server = await startFrames((peer, { type, stream, flags, payload }) => {
      if (peer.index === 0 && isDead) return;
      if (type === HEADERS && (stream === 1 || peer.index > 0)) peer.send(headers(stream, END_STREAM, OK));
      if (type === PING && (flags & ACK) === 0) peer.send(frame(PING, ACK, 0, payload));
    });
    pooled = new Pooled(server.port, {
      destination: { scheme: "http", http: "h2c" },
      timeouts: { upstreamConnectMs: 80, upstreamHeadMs: 10_000 },
    });
    expect((await pooled.ask()).ended).toBe(true);
    const impatient = pooled.begin(await pooled.connect());
    await eventually(() => pings() === 1, "the PING");
    await isRead();
    isDead = true;
    const second = await pooled.connect();
    impatient.channel.abort();
    const answer = pooled.begin(second);
    await answer.over;
    expect(answer.failure).toMatchObject({ denial: { code: "upstream_unreachable" }, standing: "stale" });
    expect(pings()).toBe(2);
  });

  test("is asked no more than twice in a silence; then nobody else is made to wait for it", async () => {
    await startFalling(true, { upstreamHeadMs: 60_000 });
    for (let i = 1; i <= 2; i++) {
      const answer = pooled.begin(await pooled.connect());
      await eventually(() => pings() === i, "a PING");
      await isRead();
      answer.channel.abort();
    }
    const waiting = pooled.begin(await pooled.connect());
    await expect.poll(peersOfNext).toBe(2);
    waiting.channel.abort();
    expect(pings()).toBe(2);
  });

  test("is asked no oftener for what is sent to it meanwhile", async () => {
    await startFalling(true, { upstreamHeadMs: 60_000 });
    const body = new Body("stream");
    const upload = pooled.begin(await pooled.connect(), { method: "POST", body });
    for (let i = 0; i < 4; i++) {
      const silent = pooled.begin(await pooled.connect());
      await pooled.passed(250);
      body.sink?.bodyData(Buffer.from("x"));
      body.sink?.bodyFlush();
      silent.channel.abort();
    }
    upload.channel.abort();
    const asked = server.peers[0]?.frames.filter(({ type, flags }) => type === PING && (flags & ACK) === 0) ?? [];
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.length).toBeLessThanOrEqual(2);
  });

  test("is told from an upstream that is slow, which is asked once a silence", async () => {
    await startFalling(true);
    const slow = await Promise.all([pooled.ask(), pooled.ask()]);
    for (const { failure } of slow)
      expect(failure).toMatchObject({ denial: { code: "upstream_timeout" }, standing: "perhaps_done" });
    expect(pings()).toBe(1);
  });
});

describe("goodbyes", () => {
  test.each([
    ["an error", 2],
    ["enhance your calm", 11],
  ])("with %s end what runs; what was not looked at can be asked again", async (_name, code) => {
    await start((peer, stream) => {
      if (stream === 3) peer.send(frame(GOAWAY, 0, 0, u32(1, code)));
    });
    const first = pooled.begin(await pooled.connect());
    const second = pooled.begin(await pooled.connect());
    await Promise.all([first.over, second.over]);
    expect(first.failure).toMatchObject({
      denial: { code: "upstream_unreachable" },
      standing: "perhaps_done",
      resetCode: null,
    });
    expect(second.failure).toMatchObject({
      denial: { code: "upstream_unreachable" },
      standing: "untouched",
      resetCode: 7,
    });
  });

  test("that are said while nothing runs end the session", async () => {
    await start((peer, stream) => {
      peer.send(headers(stream, END_STREAM, OK));
      setTimeout(() => peer.send(frame(GOAWAY, 0, 0, u32(stream, 0))), 20);
    });
    expect((await pooled.ask()).ended).toBe(true);
    await eventually(() => pooled.closed === 1, "the end of the session");
    expect((await pooled.ask()).ended).toBe(true);
    expect(server.peers).toHaveLength(2);
  });

  test("that nobody answers: the connection ends all the same", async () => {
    await start((peer, stream) => peer.send(headers(stream, END_STREAM, OK)), {
      timeouts: { upstreamKeepaliveMs: 50 },
    });
    expect((await pooled.ask()).ended).toBe(true);
    // It reads nothing more, closes nothing, and says nothing.
    server.peers[0]?.socket.pause();
    server.peers[0]?.socket.removeAllListeners("end");
    await eventually(() => pooled.closed === 1, "the end of the session");
  });
});

test.each([
  ["REFUSED_STREAM", (stream: number) => frame(RST_STREAM, 0, stream, u32(7))],
  ["GOAWAY that counts it out", () => frame(GOAWAY, 0, 0, u32(0, 2))],
])("an answer that has begun is not asked for again, although %s says that nothing was done", async (_name, end) => {
  await start((peer, stream) => {
    peer.send(
      headers(stream, 0, OK, ["content-length", "100"]),
      frame(DATA, 0, stream, "the first answer"),
      end(stream),
    );
  });
  const answer = await pooled.ask();
  expect(answer.text).toBe("the first answer");
  expect(answer.failure?.standing).toBe("perhaps_done");
});
