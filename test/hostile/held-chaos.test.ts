import { once } from "node:events";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { ChunkedPayload } from "../../src/attach/sigv4/chunked-payload.ts";
import { ByteBudget } from "../../src/core/byte-budget.ts";
import { Denial } from "../../src/core/denial.ts";
import type { Lease } from "../../src/core/exchange.ts";
import { LeaseGone } from "../../src/core/lease-denials.ts";
import type { Injected } from "../../src/core/ports.ts";
import { WholeBody } from "../../src/core/whole-body.ts";
import type { OutboundRequest, UpstreamChannel } from "../../src/core/wire.ts";
import type { Line } from "../../src/line/line.ts";
import { framed } from "../attach/sigv4/chunks.ts";
import { END_HEADERS, frame, headers, reset, TYPE, windowUpdate } from "../guest/support/h2-frames.ts";
import { openSecure } from "../guest/support/h2-guest.ts";
import { eventually } from "../line/support/joined.ts";
import { openGuest } from "./raw-guest.ts";
import { Attacker, startTarget, type Target } from "./support/h2-attacker.ts";

/**
 * Bodies that are held, replaced or signed in pieces, by chance, while guests leave, upstreams fail, leases die and the edge
 * drains. In the end nothing is held any more, each use of a lease was counted for one request that went out and for no other,
 * and what must not be sent twice was not.
 */

const GUESTS = 6;
const TIMEOUTS = {
  guestIdleMs: 60,
  requestHeadMs: 60,
  bodyIdleMs: 80,
  upstreamHeadMs: 100,
  halfCloseMs: 60,
  upstreamKeepaliveMs: 60,
  tunnelIdleMs: 80,
  tunnelLifeMs: 500,
  drainMs: 200,
};
const MOST_BYTES = 12_000;
const CHUNKS = framed(["x".repeat(5000), "y".repeat(4000)], true);
const OK = "HTTP/1.1 200 OK\r\n";
const ANSWERS = [
  `${OK}Content-Length: 2\r\n\r\nok`,
  `${OK}Content-Length: 2\r\n\r\nok`,
  `${OK}Content-Length: 2\r\n\r\no`,
  `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
  "HTTP/1.1 100 Continue\r\n\r\n",
  "HTTP/1.1 401 N\r\nContent-Length: 0\r\n\r\n",
  "HTTP/1.1 413 N\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig",
  "garbage\r\n\r\n",
];

/** Chance that a seed repeats. */
class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(n: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * n);
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

/** What was counted on both sides of the line. */
class Books {
  readonly whole = new ByteBudget(4 * MOST_BYTES);
  readonly chunks = new ByteBudget(4 * MOST_BYTES);
  readonly leases = new Set<Lease>();
  uses = 0;
  sent = 0;
  /** By path, which is another one for each request. */
  readonly sentTo = new Map<string, number>();
  readonly challenged = new Map<string, number>();
  readonly #seen = new WeakSet<UpstreamChannel>();
  #paths = 0;

  newPath(method: string): string {
    return `/${method}/${++this.#paths}`;
  }

  /** Counts the uses of a lease, whoever takes or gives one. */
  watchLease(lease: Lease): Lease {
    if (this.leases.has(lease)) return lease;
    this.leases.add(lease);
    const reserve = lease.reserveUse.bind(lease);
    const give = lease.returnUse.bind(lease);
    lease.reserveUse = () => {
      const isThere = reserve();
      if (isThere) this.uses++;
      return isThere;
    };
    lease.returnUse = () => {
      this.uses--;
      give();
    };
    return lease;
  }

  watchChannel(channel: UpstreamChannel): UpstreamChannel {
    if (this.#seen.has(channel)) return channel;
    this.#seen.add(channel);
    const send = channel.send.bind(channel);
    channel.send = (head, request, sink) => {
      const target = head.target;
      const isSent = send(head, request, sink);
      if (!isSent) return false;
      this.sent++;
      this.sentTo.set(target, (this.sentTo.get(target) ?? 0) + 1);
      return true;
    };
    return channel;
  }
}

let target: Target | null = null;
let http2: Http2Server | null = null;
const sockets = new Set<Socket>();

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  http2?.close();
  http2 = null;
  await target?.close();
  target = null;
});

function portsBy(chance: Chance, books: Books): (line: Line) => Partial<Line> {
  const pause = async (): Promise<void> => {
    if (chance.below(3) > 0) await sleep(chance.below(8));
  };
  const replaced = (request: OutboundRequest): void => {
    const { body } = request;
    if (body instanceof WholeBody) {
      if (chance.below(2) === 0) request.body = body.with(Buffer.alloc(chance.below(9000), "z"));
    } else if (body.length !== "none" && chance.below(2) === 0) {
      request.body = new ChunkedPayload(body, {
        signer: { chunk: () => "a".repeat(64), trailers: () => "a".repeat(64) },
        trailers: null,
        decodedBytes: 9000,
        mostChunkBytes: MOST_BYTES,
        budget: books.chunks,
        owner: "t s",
      });
    }
  };
  return (line) => ({
    heldBodies: books.whole,
    leases: {
      ...line.leases,
      async lease(permit) {
        await pause();
        if (chance.below(25) === 0) throw new Denial("custody_unavailable");
        const now = line.clock.monotonicMs();
        const old = [...books.leases].filter(
          (lease) => lease.isLive(now) && lease.scope.host === permit.authority.host,
        );
        if (old.length > 0 && chance.below(2) === 0) return chance.of(old);
        return books.watchLease(await line.leases.lease(permit));
      },
      reject(lease) {
        if (chance.below(2) === 0) return false;
        lease.revoke();
        return true;
      },
    },
    account: {
      ...line.account,
      async admit() {
        await pause();
        if (chance.below(25) === 0) throw new Denial("audit_unavailable");
      },
    },
    upstream: {
      ...line.upstream,
      async connect(permit, pinned, want) {
        await pause();
        const channel = books.watchChannel(await line.upstream.connect(permit, pinned, want));
        await pause();
        return channel;
      },
    },
    attach: {
      ...line.attach,
      demands: () => ({ body: true, identity: false, answers: true }),
      wholeBodyBytes: () => (chance.below(2) === 0 ? MOST_BYTES : null),
      observe(_permit, _lease, answer) {
        const isAsked = answer.status === 401 && chance.below(2) === 0;
        const path = answer.fields.get("x-path");
        if (isAsked && path !== null) books.challenged.set(path, (books.challenged.get(path) ?? 0) + 1);
        return isAsked;
      },
      attach(permit, lease, head, request, nowMs) {
        const injected = (): Injected => {
          const made = line.attach.attach(permit, lease, head, request, nowMs) as Injected;
          replaced(request);
          return made;
        };
        if (chance.below(3) > 0) return injected();
        return sleep(chance.below(10)).then(() => {
          const deed = chance.below(8);
          if (deed === 0) throw new Denial("signing_unsupported");
          if (deed === 1) throw new LeaseGone("by chance");
          if (deed === 2) lease.revoke();
          return injected();
        });
      },
    },
  });
}

/** Answers by chance to a path of an HTTP/1.1 request, at any moment. */
function answering(chance: Chance): (socket: Socket, received: string) => void {
  return (socket, received) => {
    const path = [...received.matchAll(/(?:GET|POST|PUT) (\S+) HTTP/g)].at(-1)?.[1] ?? "/";
    if (chance.below(4) === 0) return;
    setTimeout(() => {
      if (socket.destroyed) return;
      const deed = chance.below(12);
      if (deed === 0) socket.resetAndDestroy();
      else if (deed === 1) socket.end();
      else socket.write(chance.of(ANSWERS).replace(/^(HTTP[^\r]*)/, `$1\r\nX-Path: ${path}`));
    }, chance.below(15));
  };
}

const REFUSED_STREAM = 7;

/** What an HTTP/2 upstream was asked, and whether it said that it did nothing of it (RFC 9113 §8.7). */
class Upstream2 {
  /** Each request, and what its session said last that it had looked at. */
  readonly #asked: {
    readonly path: string;
    readonly id: number;
    readonly session: { last: number };
    refused: boolean;
  }[] = [];
  readonly #sessions = new Map<object, { last: number }>();

  /** @returns told when the stream is refused */
  ask(path: string, stream: ServerHttp2Stream): () => void {
    const asked = { path, id: stream.id ?? 0, session: this.#sessionOf(stream), refused: false };
    this.#asked.push(asked);
    return () => {
      asked.refused = true;
    };
  }

  leave(stream: ServerHttp2Stream, last: number): void {
    const session = this.#sessionOf(stream);
    session.last = Math.min(session.last, last);
  }

  /** How often it may have done what it was asked. */
  done(path: string): number {
    return this.#asked.filter((asked) => asked.path === path && !asked.refused && asked.id <= asked.session.last)
      .length;
  }

  #sessionOf({ session }: ServerHttp2Stream): { last: number } {
    const key = session ?? this;
    const known = this.#sessions.get(key) ?? { last: Number.POSITIVE_INFINITY };
    this.#sessions.set(key, known);
    return known;
  }
}

async function startHttp2(chance: Chance, upstream: Upstream2): Promise<number> {
  const server = createServer({ settings: { maxConcurrentStreams: 4 } });
  http2 = server;
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  server.on("sessionError", () => undefined);
  server.on("stream", (stream: ServerHttp2Stream, fields) => {
    stream.on("error", () => undefined);
    const refused = upstream.ask(String(fields[":path"]), stream);
    const reads = chance.below(3);
    if (reads > 0) stream.resume();
    setTimeout(() => {
      if (stream.destroyed || stream.session === undefined) return;
      switch (chance.below(10)) {
        case 0: {
          const code = chance.of([0, 1, 2, REFUSED_STREAM, 8, 11]);
          if (code === REFUSED_STREAM) refused();
          stream.close(code);
          return;
        }
        case 1:
          stream.session.destroy();
          return;
        case 2:
          upstream.leave(stream, Math.max(0, (stream.id ?? 1) - 2));
          stream.session.goaway(0, Math.max(0, (stream.id ?? 1) - 2));
          return;
        case 3:
          return;
        default:
          stream.respond({ ":status": chance.of([200, 200, 401, 413]), "x-path": String(fields[":path"]) });
          stream.end("ok");
      }
    }, chance.below(15));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Pieces of a body, and whether they are all of it. */
function bodyPieces(chance: Chance): Buffer[] {
  const text = chance.of([CHUNKS, CHUNKS, "x".repeat(MOST_BYTES + 100), "short"]);
  const bytes = Buffer.from(text, "latin1");
  const pieces: Buffer[] = [];
  const size = chance.of([700, 3000, 16_000]);
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
  return pieces;
}

async function playHttp1(chance: Chance, at: Target, authority: string, books: Books): Promise<void> {
  const guest = await openGuest(at.joined.port);
  sockets.add(guest.socket);
  for (let step = chance.below(8); step > 0 && !guest.closed; step--) {
    const method = chance.of(["GET", "POST", "POST", "PUT"]);
    const minor = chance.of([0, 1, 1, 1]);
    const path = books.newPath(method);
    const pieces = method === "GET" ? [] : bodyPieces(chance);
    const isChunked = minor === 1 && pieces.length > 0 && chance.below(2) === 0;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const framing = isChunked ? "Transfer-Encoding: chunked\r\n" : `Content-Length: ${length}\r\n`;
    const expect100 = chance.below(3) === 0 ? "Expect: 100-continue\r\n" : "";
    guest.send(
      `${method} http://${authority}${path} HTTP/1.${minor}\r\nHost: ${authority}\r\n${framing}${expect100}\r\n`,
    );
    const stopsAt = chance.below(3) === 0 ? chance.below(pieces.length + 1) : pieces.length;
    for (const piece of pieces.slice(0, stopsAt)) {
      if (chance.below(3) === 0) await sleep(chance.below(10));
      if (guest.closed) break;
      guest.send(isChunked ? `${piece.length.toString(16)}\r\n${piece.toString("latin1")}\r\n` : piece);
    }
    if (isChunked && stopsAt === pieces.length) guest.send("0\r\n\r\n");
    if (chance.below(4) === 0) guest.socket.pause();
    if (chance.below(2) === 0) await sleep(chance.below(60));
    if (stopsAt < pieces.length) break;
  }
  if (chance.below(3) === 0) guest.socket.end();
  await sleep(chance.below(100));
  guest.socket.resetAndDestroy();
}

async function playHttp2(chance: Chance, at: Target, authority: string, books: Books): Promise<void> {
  const guest = new Attacker(await openSecure(at.joined.port, authority, ["h2"]));
  sockets.add(guest.socket);
  guest.send(windowUpdate(0, 1_000_000));
  let stream = -1;
  for (let step = chance.below(12); step > 0 && !guest.reader.closed; step--) {
    stream += 2;
    const method = chance.of(["GET", "POST", "POST", "PUT"]);
    const pieces = method === "GET" ? [] : bodyPieces(chance);
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const fields: [string, string][] = [
      [":method", method],
      [":scheme", "https"],
      [":path", books.newPath(method)],
      [":authority", authority],
    ];
    if (pieces.length > 0 && chance.below(2) === 0) fields.push(["content-length", String(length)]);
    if (pieces.length > 0 && chance.below(3) === 0) fields.push(["expect", "100-continue"]);
    guest.send(headers(stream, fields, pieces.length === 0 ? END_HEADERS | 1 : END_HEADERS));
    const stopsAt = chance.below(3) === 0 ? chance.below(pieces.length) : pieces.length;
    for (const [i, piece] of pieces.slice(0, stopsAt).entries()) {
      guest.send(frame(TYPE.data, i === pieces.length - 1 ? 1 : 0, stream, piece));
      if (chance.below(5) === 0) await sleep(chance.below(10));
    }
    if (chance.below(4) === 0)
      guest.send(reset(chance.of([stream, 1 + 2 * chance.below(stream)]), chance.of([0, 5, 8])));
    if (chance.below(6) === 0) guest.socket.pause();
    else guest.socket.resume();
    if (chance.below(3) === 0) await sleep(chance.below(40));
  }
  await sleep(chance.below(100));
  guest.socket.destroy();
}

const RUNS = Array.from({ length: 16 }, (_, i) => ({ seed: i + 1, version: i % 2 === 0 ? "h1" : "h2c" }) as const);

test.each(RUNS)("by chance $seed, an upstream of $version", async ({ seed, version }) => {
  const chance = new Chance(seed * 7919);
  const books = new Books();
  const at = await startTarget(
    {
      timeouts: TIMEOUTS,
      maxConnections: 8,
      maxUses: 2,
      destination: { http: version },
      ports: portsBy(chance, books),
    },
    answering(chance),
  );
  target = at;
  const upstream = new Upstream2();
  const authority = version === "h1" ? at.authority : `api.test:${await startHttp2(chance, upstream)}`;
  const games = Array.from({ length: GUESTS }, (_, i) =>
    (i % 2 === 0 ? playHttp1 : playHttp2)(chance, at, authority, books),
  );
  const ended = Promise.allSettled(games);
  await sleep(150 + chance.below(300));
  await at.joined.drain();
  await ended;
  await eventually(() => at.joined.records.length === at.joined.opened(), "the last record");
  await eventually(() => at.joined.sweep.size === 0, "the end of every deadline");
  expect(at.joined.faults).toEqual([]);
  expect(at.joined.records.filter(({ denial }) => denial === "internal")).toEqual([]);
  expect({ whole: books.whole.heldBytes, chunks: books.chunks.heldBytes }).toEqual({ whole: 0, chunks: 0 });
  expect(books.uses).toBe(books.sent);
  for (const [path, sent] of books.sentTo) {
    if (path.startsWith("/GET/")) continue;
    const challenges = Math.min(1, books.challenged.get(path) ?? 0);
    const times = version === "h1" ? sent : upstream.done(path);
    expect([path, times]).toEqual([path, Math.min(times, 1 + challenges)]);
    // Twice more at most, whatever it says.
    expect([path, sent]).toEqual([path, Math.min(sent, 3 + challenges)]);
  }
});
