import { createHash } from "node:crypto";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { ClientHttp2Stream, ServerHttp2Session } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ProxyAgent, request } from "undici";
import { WebSocket } from "ws";
import { answerOf, ask, openHttp2 } from "../guest/support/h2-guest.ts";
import { denialIn, openGuest, openTunnel } from "../hostile/raw-guest.ts";
import { eventually, standstill } from "../line/support/joined.ts";
import { type Asked2, type Http2Upstream, startHttp2 } from "../upstream/support/http2-server.ts";
import { makeCa, type TestCa } from "./support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { growthMb, tellsMemory } from "./support/memory.ts";
import { patternBytes, patternSha256, patternStream } from "./support/pattern.ts";
import { run, type RunResult } from "./support/run.ts";

/** Guests that speak HTTP/1.1, an upstream that speaks nothing but HTTP/2, and the whole edge in between. */

const TOKEN = "http2-house-token-19c4";
const MEGABYTE = 1_000_000;
/** What buffers may add to an edge that has warmed up, `MB`. */
const FLAT_MB = 80;
const LEAVES_AFTER_MS = 300;
const POSTS = 1500;

let directory: string;
let ca: TestCa;
let upstream: Http2Upstream;
let closed: Http2Upstream;
/** Takes streams for a while, and then says goodbye. */
let leaving: Http2Upstream;
let edge: Edge;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-http2-"));
  ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const settings = { enableConnectProtocol: true, maxConcurrentStreams: 50 };
  upstream = await startHttp2(serve, { tls: await ca.issue(["api.test"]), settings });
  closed = await startHttp2(serve, { tls: await ca.issue(["closed.test"]) });
  leaving = await startHttp2(serveSlowly, { tls: await ca.issue(["leaving.test"]) });
  leaving.server.on("session", (session: ServerHttp2Session) => {
    const timer = setTimeout(() => session.close(), LEAVES_AFTER_MS);
    session.on("close", () => clearTimeout(timer));
  });
  const there = { address: "127.0.0.1", scheme: "https" } as const;
  edge = await startEdge({
    hosts: Object.fromEntries(
      ["api.test", "closed.test", "other.test", "leaving.test"].map((name) => [name, ["127.0.0.1"]]),
    ),
    extraRoots: [ca.certificateFile],
    env: { UPSTREAM_TOKEN: TOKEN },
    custody: {
      main: {
        embedded: {
          credentials: [
            {
              name: "api",
              kind: "token",
              source: { env: "UPSTREAM_TOKEN" },
              hosts: [`api.test:${upstream.port}`, `other.test:${upstream.port}`],
            },
          ],
        },
      },
      // Nobody listens there.
      gone: { remote: { address: `unix:${join(directory, "gone.sock")}` } },
    },
    destinations: [
      destinationFor({ ...there, port: upstream.port }, "api.test", {
        credential: "main/api",
        attach: { as: "bearer" },
      }),
      destinationFor({ ...there, port: upstream.port }, "other.test", {
        credential: "main/api",
        attach: { as: "bearer" },
      }),
      destinationFor({ ...there, port: closed.port }, "closed.test", {
        credential: "gone/api",
        attach: { as: "bearer" },
        http: "h2",
      }),
      destinationFor({ ...there, port: leaving.port }, "leaving.test", { http: "h2" }),
    ],
    wait: "live",
  });
});

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
  await closed?.close();
  await leaving?.close();
  await rm(directory, { recursive: true, force: true });
});

/** Bytes that uploads brought. */
let uploaded = { bytes: 0, sha256: "" };

function serve({ stream, raw }: Asked2): void {
  const path = raw[raw.indexOf(":path") + 1] ?? "";
  if (raw.includes(":protocol")) {
    stream.respond({ ":status": 200 });
    echoFrames({ stream });
  } else if (path === "/head-alone") stream.respond({ ":status": 200, "x-empty": "yes" }, { endStream: true });
  else if (path === "/trailers") {
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "42" }));
    stream.end("body");
  } else if (path.startsWith("/download/")) {
    stream.respond({ ":status": 200 });
    pipeline(patternStream(0, Number(path.slice("/download/".length))), stream).catch(() => undefined);
  } else if (path === "/upload") {
    const hash = createHash("sha256");
    uploaded = { bytes: 0, sha256: "" };
    stream.on("data", (chunk: Buffer) => {
      uploaded.bytes += chunk.length;
      hash.update(chunk);
    });
    stream.on("end", () => {
      uploaded.sha256 = hash.digest("hex");
      stream.respond({ ":status": 201 });
      stream.end("taken");
    });
  } else if (path === "/unread") {
    // Nobody ever reads it.
  } else if (path === "/endless") {
    stream.respond({ ":status": 200 });
    stream.write("first");
  } else {
    stream.respond({ ":status": 200, "content-type": "text/plain" });
    stream.end("hello");
  }
}

/** Says what came, a little later: whatever is on its way then is on its way when the goodbye is said. */
function serveSlowly({ stream }: Asked2): void {
  let body = "";
  stream.on("data", (chunk: Buffer) => (body += chunk.toString()));
  stream.on("end", () =>
    setTimeout(() => {
      if (stream.destroyed) return;
      stream.respond({ ":status": 200 });
      stream.end(body);
    }, 10),
  );
}

/** Short WebSocket frames (RFC 6455 §5.2), unmasked and sent back. */
function echoFrames({ stream }: Pick<Asked2, "stream">): void {
  let pending = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 6 && pending.length >= 6 + (pending.readUInt8(1) & 127)) {
      const length = pending.readUInt8(1) & 127;
      const mask = pending.subarray(2, 6);
      const body = Buffer.from(pending.subarray(6, 6 + length).map((byte, i) => byte ^ (mask[i % 4] as number)));
      stream.write(Buffer.concat([Buffer.of(pending.readUInt8(0), length), body]));
      if ((pending.readUInt8(0) & 15) === 8) stream.end();
      pending = pending.subarray(6 + length);
    }
  });
}

const url = (path: string): string => `https://api.test:${upstream.port}${path}`;
const curl = (path: string, ...args: string[]): Promise<RunResult> =>
  run("curl", ["-sS", "--http1.1", ...args, url(path)], { env: edge.guestEnv() });
const lastAsked = (): Asked2 => upstream.requests.at(-1) as Asked2;
const valueOf = ({ raw }: Asked2, name: string): string | undefined => {
  const at = raw.indexOf(name);
  return at < 0 ? undefined : raw[at + 1];
};

describe("a guest of HTTP/1.1", () => {
  test("is answered, and the credential goes out never-indexed", async () => {
    const { stdout, code } = await curl("/x?y=1", "-i", "-H", "Authorization: Bearer mine");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n/m);
    expect(stdout).toMatch(/\r\n\r\nhello$/);
    const asked = lastAsked();
    expect(asked.raw.filter((_, i) => asked.raw[i - 1] === "authorization")).toEqual([`Bearer ${TOKEN}`]);
    expect(asked.sensitive).toContain("authorization");
    expect(valueOf(asked, ":authority")).toBe(`api.test:${upstream.port}`);
    expect(valueOf(asked, ":path")).toBe("/x?y=1");
    expect(valueOf(asked, "host")).toBeUndefined();
  });

  test("keeps its connection over an answer that ends with its head", async () => {
    const guest = await openTunnel(edge.proxyPort, `api.test:${upstream.port}`, "api.test");
    guest.send(`GET /head-alone HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
    const head = await guest.until(/\r\n\r\n$/);
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(head).toMatch(/\r\nContent-Length: 0\r\n/);
    guest.send(`GET /again HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
    expect(await guest.until(/hello/)).toContain("x-empty: yes");
    guest.destroy();
  });

  test("gets trailers", async () => {
    const guest = await openTunnel(edge.proxyPort, `api.test:${upstream.port}`, "api.test");
    guest.send(`GET /trailers HTTP/1.1\r\nHost: api.test:${upstream.port}\r\nTE: trailers\r\nConnection: TE\r\n\r\n`);
    expect(await guest.until(/x-sum/)).toMatch(/4\r\nbody\r\n0\r\nx-sum: 42\r\n\r\n$/);
    expect(valueOf(lastAsked(), "te")).toBe("trailers");
    guest.destroy();
  });

  test("that goes away stops the upstream at once", async () => {
    const guest = await openTunnel(edge.proxyPort, `api.test:${upstream.port}`, "api.test");
    guest.send(`GET /endless HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
    await guest.until(/first/);
    const asked = lastAsked();
    guest.destroy();
    await eventually(() => asked.resetCode !== null, "the reset");
    expect(asked.resetCode).toBe(8);
  });

  test("notices nothing of an upstream that says GOAWAY again and again: no POST fails, and each is done once", async () => {
    const dispatcher = new ProxyAgent({ uri: edge.proxyUrl, requestTls: { ca: edge.ca.certificate } });
    const ends = new Map<string, number>();
    let begun = 0;
    const post = async (): Promise<void> => {
      while (begun++ < POSTS) {
        const options = { method: "POST", body: "some words", dispatcher } as const;
        const answer = await request(`https://leaving.test:${leaving.port}/`, options);
        const end = `${answer.statusCode} ${await answer.body.text()}`;
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: 20 }, post));
    await dispatcher.close();
    expect([...ends]).toEqual([["200 some words", POSTS]]);
    expect(leaving.requests).toHaveLength(POSTS);
    expect(leaving.connections).toBeGreaterThan(1);
  });

  test("shares sessions with others", async () => {
    const before = upstream.connections;
    const all = await Promise.all(Array.from({ length: 12 }, () => curl("/shared")));
    expect(all.map(({ stdout }) => stdout)).toEqual(Array.from({ length: 12 }, () => "hello"));
    expect(upstream.connections - before).toBeLessThanOrEqual(2);
    expect(await edge.metrics()).toMatch(/^postern_upstream_connections_reused_total [1-9]/m);
  });
});

test("guests on one session: what one of them does not read, or sends to nobody, holds up no other, nor itself", async () => {
  const [bytes, authority] = [2 * MEGABYTE, `api.test:${upstream.port}`];
  const body = patternBytes(0, bytes);
  const first = upstream.requests.length;
  const idle = await openHttp2(edge.proxyPort, authority);
  const unread = Array.from({ length: 40 }, () => idle.request({ ":path": `/download/${bytes}` }).pause());
  const stuck = Array.from({ length: 3 }, () => idle.request({ ":method": "POST", ":path": "/unread" }));
  for (const stream of stuck) stream.write(body);
  for (const stream of [...unread, ...stuck]) stream.on("error", () => undefined);
  await eventually(() => upstream.requests.length === first + 43, "all of the idle guest's requests");
  const written = (): number => [...upstream.sockets].reduce((sum, socket) => sum + socket.bytesWritten, 0);
  await standstill(written, "windows that are full");

  const busy = await openHttp2(edge.proxyPort, authority);
  for (const session of [busy, idle, busy]) {
    const down = await ask(session, { ":path": `/download/${bytes}` });
    expect(down.body.equals(body)).toBe(true);
    expect((await ask(session, { ":method": "POST", ":path": "/upload" }, body)).status).toBe(201);
    expect(uploaded).toEqual({ bytes, sha256: patternSha256(bytes) });
  }
  expect(new Set(upstream.requests.slice(first).map(({ session }) => session)).size).toBe(1);
  // Nor is one of them lost: it goes on where it stopped.
  expect((await answerOf((unread[7] as ClientHttp2Stream).resume())).body.equals(body)).toBe(true);
  idle.destroy();
  busy.destroy();
});

describe("large bodies", () => {
  const bytes = 200 * MEGABYTE;
  const sha256 = patternSha256(bytes);
  const title = tellsMemory ? "in flat memory" : "(memory: skipped, only Linux tells it)";

  async function grown(work: () => Promise<void>): Promise<number> {
    if (tellsMemory) return growthMb(edge.process.pid, work);
    await work();
    return 0;
  }

  test(`200 MB down, ${title}`, async () => {
    await curl("/download/20000000", "-o", "/dev/null");
    const growth = await grown(async () => {
      const child = spawn("curl", ["-sS", "--http1.1", url(`/download/${bytes}`)], {
        env: edge.guestEnv(),
        stdio: "pipe",
      });
      const hash = createHash("sha256");
      child.stdout.on("data", (chunk: Buffer) => hash.update(chunk));
      expect(await once(child, "close")).toEqual([0, null]);
      expect(hash.digest("hex")).toBe(sha256);
    });
    expect(growth).toBeLessThan(FLAT_MB);
  });

  test(`200 MB up, ${title}`, async () => {
    const growth = await grown(async () => {
      const child = spawn("curl", ["-sS", "--http1.1", "-T", "-", url("/upload")], {
        env: edge.guestEnv(),
        stdio: "pipe",
      });
      const [end] = await Promise.all([once(child, "close"), pipeline(patternStream(0, bytes), child.stdin)]);
      expect(end).toEqual([0, null]);
    });
    expect(uploaded).toEqual({ bytes, sha256 });
    expect(growth).toBeLessThan(FLAT_MB);
  });
});

test("a WebSocket goes by extended CONNECT, with the credential", async () => {
  const authority = `api.test:${upstream.port}`;
  const guest = await openGuest(edge.proxyPort);
  guest.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  await guest.until(/\r\n\r\n/);
  guest.socket.removeAllListeners("data");
  const socket = new WebSocket(`wss://${authority}/ws`, {
    perMessageDeflate: false,
    createConnection: () =>
      connectTls({
        socket: guest.socket,
        servername: "api.test",
        ca: edge.ca.certificate,
        ALPNProtocols: ["http/1.1"],
      }),
  });
  await once(socket, "open");
  socket.send("hi there");
  const [data] = (await once(socket, "message")) as [Buffer];
  expect(data.toString()).toBe("hi there");
  const asked = lastAsked();
  expect(valueOf(asked, ":method")).toBe("CONNECT");
  expect(valueOf(asked, ":protocol")).toBe("websocket");
  expect(valueOf(asked, "authorization")).toBe(`Bearer ${TOKEN}`);
  expect(valueOf(asked, "sec-websocket-key")).toBeUndefined();
  socket.close(1000);
  const [code] = (await once(socket, "close")) as [number];
  expect(code).toBe(1000);
});

test("a WebSocket over HTTP/2 on both sides: the guest says no key, and the upstream is asked for none", async () => {
  const session = await openHttp2(edge.proxyPort, `api.test:${upstream.port}`);
  const stream = session.request(
    {
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": "https",
      ":path": "/ws",
      "sec-websocket-version": "13",
    },
    { endStream: false },
  );
  const answer = answerOf(stream);
  // A masked text frame, and a close (RFC 6455 §5.2).
  stream.write(
    Buffer.concat([Buffer.of(0x81, 0x82, 0, 0, 0, 0), Buffer.from("hi"), Buffer.of(0x88, 0x80, 0, 0, 0, 0)]),
  );
  stream.on("data", () => stream.end());
  const { status, fields, body } = await answer;
  expect(status).toBe(200);
  expect(fields.get("sec-websocket-accept")).toBeUndefined();
  expect(body).toEqual(Buffer.concat([Buffer.of(0x81, 2), Buffer.from("hi"), Buffer.of(0x88, 0)]));
  const asked = lastAsked();
  expect(valueOf(asked, ":protocol")).toBe("websocket");
  expect(valueOf(asked, "authorization")).toBe(`Bearer ${TOKEN}`);
  expect(valueOf(asked, "sec-websocket-key")).toBeUndefined();
  session.destroy();
});

test("an HTTP/1.0 guest that says no Host is served: the authority is that of its tunnel", async () => {
  const authority = `api.test:${upstream.port}`;
  const guest = await openTunnel(edge.proxyPort, authority, "api.test");
  guest.send("GET /head-alone HTTP/1.0\r\n\r\n");
  expect(await guest.ended()).toMatch(/^HTTP\/1\.1 200 /);
  expect(valueOf(lastAsked(), ":authority")).toBe(authority);
});

describe("nothing is sent", () => {
  test("without the credential: custody is gone", async () => {
    const guest = await openTunnel(edge.proxyPort, `closed.test:${closed.port}`, "closed.test");
    guest.send(`GET / HTTP/1.1\r\nHost: closed.test:${closed.port}\r\n\r\n`);
    expect(denialIn(await guest.until(/\r\n\r\n[^]*\}\n$/))).toBe("custody_unavailable");
    expect(closed.connections).toBe(0);
    guest.destroy();
  });

  test("to an upstream whose certificate is another's", async () => {
    const before = upstream.requests.length;
    const guest = await openTunnel(edge.proxyPort, `other.test:${upstream.port}`, "other.test");
    guest.send(`GET / HTTP/1.1\r\nHost: other.test:${upstream.port}\r\n\r\n`);
    expect(denialIn(await guest.until(/\r\n\r\n[^]*\}\n$/))).toBe("upstream_tls_invalid");
    expect(upstream.requests).toHaveLength(before);
    guest.destroy();
  });
});
