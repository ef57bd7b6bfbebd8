import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { UpstreamChannel } from "../../src/core/wire.ts";
import { makeCa, type TestCa, type TestLeaf } from "../house/support/certificates.ts";
import { eventually } from "../line/support/joined.ts";
import { type Asked2, type Http2ServerOptions, type Http2Upstream, startHttp2 } from "./support/http2-server.ts";
import { type Answer, Pooled, type PooledOptions } from "./support/pooled.ts";

/** Which HTTP is spoken to an upstream, and how many sessions and streams that takes. */

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

const answers = ({ stream }: Asked2): void => {
  stream.respond({ ":status": 200 });
  stream.end("h2");
};

async function start(
  options: PooledOptions,
  server: Partial<Http2ServerOptions> = {},
  serve: (asked: Asked2) => void = answers,
): Promise<void> {
  upstream = await startHttp2(serve, { tls: leaf, ...server });
  const { destination = {}, ...rest } = options;
  pooled = new Pooled(upstream.port, {
    ...rest,
    destination: { scheme: "https", ...destination },
    roots: [ca.certificate],
  });
}

describe("http: auto", () => {
  test("asks for HTTP/1.1 where it can be had", async () => {
    await start({}, { allowHTTP1: true });
    expect((await pooled.ask()).text).toBe("h1");
    expect(upstream.protocols).toEqual(["http/1.1"]);
  });

  test("takes HTTP/2 for a call that needs it, beside HTTP/1.1 for the others", async () => {
    await start({}, { allowHTTP1: true });
    expect((await pooled.ask({}, { http2: true })).text).toBe("h2");
    expect((await pooled.ask()).text).toBe("h1");
    expect((await pooled.ask({}, { http2: true })).text).toBe("h2");
    expect((await pooled.ask()).text).toBe("h1");
    expect(upstream.protocols).toEqual(["h2", "http/1.1"]);
    expect(pooled).toMatchObject({ opened: 2, reused: 2 });
  });

  test("turns to HTTP/2 where nothing else is spoken, and remembers that", async () => {
    await start({ timeouts: { upstreamKeepaliveMs: 50 } });
    expect((await pooled.ask()).text).toBe("h2");
    expect((await pooled.ask()).text).toBe("h2");
    // The hello that offered HTTP/1.1 was refused.
    expect(upstream.connections).toBe(2);
    await eventually(() => pooled.closed === 1, "the end of the idle session");
    expect((await pooled.ask()).text).toBe("h2");
    expect(upstream.connections).toBe(3);
    expect(pooled).toMatchObject({ opened: 2, reused: 1 });
  });

  test("makes many guests of an upstream that speaks HTTP/2 alone share what is opened", async () => {
    await start({ maxConnections: 2 });
    const all = await Promise.all(Array.from({ length: 20 }, () => pooled.ask()));
    expect(all.map(({ text }) => text)).toEqual(Array.from({ length: 20 }, () => "h2"));
    expect(pooled.opened).toBe(1);
  });

  test("takes HTTP/1.1 for a call that wants HTTP/2 from an upstream without it", async () => {
    const sockets = new Set<Socket>();
    const server = createTlsServer({ cert: leaf.certificate, key: leaf.key, ALPNProtocols: ["http/1.1"] }, (socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh1"));
    });
    let connections = 0;
    server.on("connection", () => connections++);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    upstream = await startHttp2(answers);
    pooled = new Pooled((server.address() as AddressInfo).port, {
      destination: { scheme: "https" },
      roots: [ca.certificate],
    });
    expect((await pooled.ask({}, { http2: true })).text).toBe("h1");
    expect((await pooled.ask({}, { http2: true })).text).toBe("h1");
    expect(connections).toBe(1);
    for (const socket of sockets) socket.destroy();
    server.close();
  });
});

describe("http: auto, where the upstream chooses nothing for a hello of HTTP/1.1,", () => {
  /** Answers hellos that offer h2 as an HTTP/2 server, and the others without a word about ALPN. */
  async function startUnchoosing(withHttp2: boolean): Promise<{ hellos: () => number; close: () => void }> {
    const plain = createTlsServer({ cert: leaf.certificate, key: leaf.key }, (socket) => {
      socket.on("error", () => undefined);
      socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh1"));
    });
    upstream = await startHttp2(answers, { tls: leaf });
    let hellos = 0;
    const server = createServer((socket) => {
      hellos++;
      socket.on("error", () => undefined);
      socket.once("data", (hello: Buffer) => {
        socket.pause();
        socket.unshift(hello);
        const offersHttp2 = hello.includes("\u0002h2");
        (offersHttp2 && withHttp2 ? upstream.server : plain).emit("connection", socket);
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    pooled = new Pooled((server.address() as AddressInfo).port, {
      destination: { scheme: "https" },
      roots: [ca.certificate],
      timeouts: { upstreamKeepaliveMs: 50 },
    });
    return { hellos: () => hellos, close: () => server.close() };
  }

  test("offers HTTP/2 as well, and takes that where it is chosen", async () => {
    const server = await startUnchoosing(true);
    expect((await pooled.ask()).text).toBe("h2");
    expect(server.hellos()).toBe(3);
    await eventually(() => pooled.closed === pooled.opened, "the end of the session");
    expect((await pooled.ask()).text).toBe("h2");
    expect(server.hellos()).toBe(4);
    server.close();
  });

  test("speaks HTTP/1.1 where it is not, and asks once", async () => {
    const server = await startUnchoosing(false);
    expect((await pooled.ask()).text).toBe("h1");
    expect(server.hellos()).toBe(2);
    await eventually(() => pooled.closed === pooled.opened, "the end of the connection");
    expect((await pooled.ask()).text).toBe("h1");
    expect(server.hellos()).toBe(3);
    server.close();
  });
});

describe("a version that is spelled out", () => {
  test("h1 is refused by an upstream that speaks HTTP/2 alone", async () => {
    await start({ destination: { http: "h1" } });
    await expect(pooled.ask()).rejects.toMatchObject({ code: "upstream_protocol" });
    expect(upstream.requests).toEqual([]);
  });

  test("h1 stays HTTP/1.1 for a call that wants HTTP/2", async () => {
    await start({ destination: { http: "h1" } }, { allowHTTP1: true });
    expect((await pooled.ask({}, { http2: true })).text).toBe("h1");
  });

  test("h2 takes HTTP/2 where both are spoken", async () => {
    await start({ destination: { http: "h2" } }, { allowHTTP1: true });
    expect((await pooled.ask()).text).toBe("h2");
  });

  test.each([["http/1.1"], ["none"]])("h2 is no HTTP/1.1 in the end (the upstream: %s)", async (alpn) => {
    let bytes = 0;
    const alpnOptions = alpn === "none" ? {} : { ALPNProtocols: [alpn] };
    const server = createTlsServer({ cert: leaf.certificate, key: leaf.key, ...alpnOptions }, (socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (chunk: Buffer) => (bytes += chunk.length));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    upstream = await startHttp2(answers);
    pooled = new Pooled((server.address() as AddressInfo).port, {
      destination: { scheme: "https", http: "h2" },
      roots: [ca.certificate],
    });
    await expect(pooled.ask()).rejects.toMatchObject({ code: "upstream_protocol" });
    expect(bytes).toBe(0);
    server.close();
  });

  test("h2c is spoken without being asked for", async () => {
    upstream = await startHttp2(answers);
    pooled = new Pooled(upstream.port, { destination: { scheme: "http", http: "h2c" } });
    expect((await pooled.ask()).text).toBe("h2");
    expect(upstream.requests[0]?.raw).toEqual(expect.arrayContaining([":scheme", "http"]));
  });

  test("a certificate that does not verify is refused as over HTTP/1.1", async () => {
    upstream = await startHttp2(answers, { tls: leaf });
    pooled = new Pooled(upstream.port, { destination: { scheme: "https", http: "h2" } });
    await expect(pooled.ask()).rejects.toMatchObject({ code: "upstream_tls_invalid" });
    expect(upstream.requests).toEqual([]);
  });
});

/** A connection that has to be waited for, once what is there takes nothing more. */
async function onceFull(): Promise<UpstreamChannel> {
  for (;;) {
    const channel = pooled.connect();
    if (channel instanceof Promise) return await channel;
    channel.release();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe("sessions", () => {
  const h2: PooledOptions["destination"] = { http: "h2" };

  /** Streams that stay open until told. */
  function held(): { serve: (asked: Asked2) => void; release: () => void } {
    const waiting: Asked2[] = [];
    return {
      serve: (asked) => void waiting.push(asked),
      release: () => {
        for (const asked of waiting.splice(0)) if (!asked.stream.headersSent && !asked.stream.destroyed) answers(asked);
      },
    };
  }

  test("carry as many streams as the upstream takes; further ones are opened, and then waited for", async () => {
    const { serve, release } = held();
    await start({ destination: h2, maxConnections: 2 }, { settings: { maxConcurrentStreams: 2 } }, serve);
    const running: Answer[] = [];
    for (let i = 0; i < 4; i++) running.push(pooled.begin(await pooled.connect()));
    await eventually(() => upstream.requests.length === 4, "four requests");
    expect(upstream.requests.map(({ session }) => session)).toEqual([1, 1, 2, 2]);
    const fifth = pooled.ask();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(upstream.requests).toHaveLength(4);
    answers(upstream.requests[0] as Asked2);
    await eventually(() => upstream.requests.length === 5, "the fifth");
    release();
    expect((await fifth).text).toBe("h2");
    await Promise.all(running.map(({ over }) => over));
    expect(upstream.connections).toBe(2);
  });

  test("that end are replaced for all who wait", async () => {
    const { serve, release } = held();
    await start({ destination: h2, maxConnections: 1 }, { settings: { maxConcurrentStreams: 3 } }, serve);
    const running = [1, 2, 3].map(() => pooled.ask());
    await eventually(() => upstream.requests.length === 3, "a full session");
    const waiting = [1, 2, 3].map(() => pooled.ask());
    for (const socket of upstream.sockets) socket.destroy();
    for (const each of await Promise.all(running)) expect(each.failure?.denial.code).toBe("upstream_unreachable");
    await eventually(() => upstream.requests.length === 6, "those that waited");
    release();
    expect((await Promise.all(waiting)).map(({ text }) => text)).toEqual(["h2", "h2", "h2"]);
    expect(upstream.connections).toBe(2);
  });

  test.each([
    [4, 1],
    [10, 3],
  ])("that are opened for %i at once, %i streams each, have their opener's place", async (asking, streams) => {
    await start({ destination: h2 }, { settings: { maxConcurrentStreams: streams } });
    const sent = await Promise.all(
      Array.from({ length: asking }, async () => {
        const channel = await pooled.connect();
        const answer = pooled.begin(channel);
        if (answer.isSent) await answer.over;
        else channel.release();
        return answer.isSent;
      }),
    );
    expect(sent).toEqual(sent.map(() => true));
  });

  test("that are full for too long are a timeout", async () => {
    const { serve, release } = held();
    await start(
      { destination: h2, maxConnections: 1, timeouts: { upstreamConnectMs: 300 } },
      { settings: { maxConcurrentStreams: 1 } },
      serve,
    );
    const first = pooled.begin(await pooled.connect());
    await expect(pooled.ask()).rejects.toMatchObject({ code: "upstream_timeout" });
    await eventually(() => upstream.requests.length === 1, "the first");
    release();
    await first.over;
    expect(first.text).toBe("h2");
  });

  test("give the place back that was not used", async () => {
    await start({ destination: h2, maxConnections: 1 }, { settings: { maxConcurrentStreams: 1 } });
    (await pooled.connect()).release();
    const waiting = pooled.connect();
    (await waiting).release();
    expect((await pooled.ask()).text).toBe("h2");
    expect(upstream.requests).toHaveLength(1);
  });

  test("send nothing beyond what the upstream takes by now: it would wait, and its credential with it", async () => {
    await start({ destination: { http: "h2" } }, { settings: { maxConcurrentStreams: 2 } }, () => undefined);
    const first = pooled.begin(await pooled.connect());
    const held = await pooled.connect();
    await eventually(() => upstream.requests.length === 1, "the first stream");
    const { stream } = upstream.requests[0] as Asked2;
    await new Promise((done) => stream.session?.settings({ maxConcurrentStreams: 1 }, done));
    expect(pooled.begin(held).isSent).toBe(false);
    held.release();
    first.channel.abort();
    await eventually(() => upstream.requests[0]?.resetCode !== null, "the reset");
    expect(upstream.requests).toHaveLength(1);
  });

  test("are dialled anew for a fresh want", async () => {
    await start({ destination: h2 });
    await pooled.ask();
    await pooled.ask({}, { fresh: true });
    expect(upstream.requests.map(({ session }) => session)).toEqual([1, 2]);
    expect(pooled).toMatchObject({ opened: 2, reused: 0 });
  });

  test("are taken for a fresh want where no further one may be opened", async () => {
    await start({ destination: h2, maxConnections: 1 });
    await pooled.ask();
    // Nothing changes any more that somebody who waits could be told of.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await pooled.ask({}, { fresh: true })).text).toBe("h2");
    expect(pooled.opened).toBe(1);
  });

  test("are opened one at a time, by those who want a fresh one as well", async () => {
    await start({ destination: h2 });
    await pooled.ask();
    const all = await Promise.all(Array.from({ length: 20 }, () => pooled.ask({}, { fresh: true })));
    expect(all.map(({ text }) => text)).toEqual(Array.from({ length: 20 }, () => "h2"));
    expect(upstream.requests.map(({ session }) => session)).toEqual([1, ...Array.from({ length: 20 }, () => 2)]);
  });

  test("that take no new streams keep nobody from another one", async () => {
    const { serve, release } = held();
    await start({ destination: h2, maxConnections: 1 }, {}, serve);
    const first = pooled.begin(await pooled.connect());
    await eventually(() => upstream.requests.length === 1, "the first");
    upstream.requests[0]?.stream.session?.goaway(0, 1);
    const second = pooled.begin(await onceFull());
    await eventually(() => upstream.requests.some(({ session }) => session === 2), "a second session");
    // Of those that are on their way out there are as many at most.
    upstream.requests.at(-1)?.stream.session?.goaway(0, 2 ** 31 - 1);
    const third = onceFull();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([pooled.opened, upstream.requests.length]).toEqual([2, 2]);
    release();
    await Promise.all([first.over, second.over]);
    expect([first.text, second.text]).toEqual(["h2", "h2"]);
    (await third).release();
  });

  test("end when they were idle for long enough, and not while something runs", async () => {
    const { serve, release } = held();
    await start({ destination: h2, timeouts: { upstreamKeepaliveMs: 40 } }, {}, serve);
    const answer = pooled.begin(await pooled.connect());
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(pooled.closed).toBe(0);
    release();
    await answer.over;
    expect(answer.ended).toBe(true);
    await eventually(() => pooled.closed === 1, "the end of the session");
    await eventually(() => upstream.sockets.size === 0, "the end of its connection");
  });

  test("take no new streams after GOAWAY; what runs goes on, and what was not looked at can be asked again", async () => {
    const { serve, release } = held();
    await start({ destination: h2 }, {}, serve);
    const first = pooled.begin(await pooled.connect());
    await eventually(() => upstream.requests.length === 1, "the first");
    upstream.requests[0]?.stream.session?.goaway(0, 1);
    // Sent before the GOAWAY is there.
    const second = pooled.begin(await pooled.connect(), { method: "POST" });
    await second.over;
    expect(second.failure).toMatchObject({ denial: { code: "upstream_unreachable" }, standing: "untouched" });
    const third = pooled.ask();
    await eventually(() => upstream.requests.some(({ session }) => session === 2), "a second session");
    release();
    expect((await third).text).toBe("h2");
    await first.over;
    expect(first.text).toBe("h2");
    await eventually(() => pooled.closed === 1, "the end of the first session");
  });

  test("that break off before an answer are stale when they were used before", async () => {
    let count = 0;
    await start({ destination: h2 }, {}, (asked) => {
      if (++count === 1) answers(asked);
      else for (const socket of upstream.sockets) socket.destroy();
    });
    await pooled.ask();
    expect((await pooled.ask()).failure).toMatchObject({ denial: { code: "upstream_unreachable" }, standing: "stale" });
    expect((await pooled.ask()).failure).toMatchObject({
      denial: { code: "upstream_unreachable" },
      standing: "perhaps_done",
    });
  });

  test("on which nothing comes in time take no new streams", async () => {
    let count = 0;
    await start({ destination: h2, timeouts: { upstreamHeadMs: 60 } }, {}, (asked) => {
      if (++count > 1) answers(asked);
    });
    expect((await pooled.ask()).failure).toMatchObject({
      denial: { code: "upstream_timeout" },
      standing: "perhaps_done",
    });
    expect((await pooled.ask()).text).toBe("h2");
    expect(upstream.requests.map(({ session }) => session)).toEqual([1, 2]);
  });

  test("whose guests reset a lot take no new streams", async () => {
    await start({ destination: h2, maxConnections: 1 }, {}, () => undefined);
    for (let i = 0; i < 201; i++) pooled.begin(await pooled.connect()).channel.abort();
    await eventually(() => pooled.closed === 1, "the end of the session");
    pooled.begin(await pooled.connect()).channel.abort();
    expect(pooled.opened).toBe(2);
  });
});
