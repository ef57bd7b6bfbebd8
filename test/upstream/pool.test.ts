import { once } from "node:events";
import { Duplex } from "node:stream";
import type { Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { DeadlineSweep } from "../../src/core/deadline.ts";
import { Fields } from "../../src/core/fields.ts";
import type { AnswerSink, BodySink, RequestBody } from "../../src/core/wire.ts";
import { UpstreamConnection } from "../../src/upstream/connection.ts";
import { openGuest, type RawGuest } from "../hostile/raw-guest.ts";
import {
  eventually,
  type Joined,
  type JoinedOptions,
  type Scripted,
  startJoined,
  startScripted,
} from "../line/support/joined.ts";

/** Which upstream connections are used again, and by whom. */

let joined: Joined;
let upstream: Scripted;
const guests: RawGuest[] = [];

afterEach(async () => {
  for (const guest of guests.splice(0)) guest.destroy();
  await joined.stop();
  await upstream.close();
  expect(joined.faults).toEqual([]);
  await eventually(() => joined.open() === 0, "the end of every upstream connection");
});

async function start(serve: Parameters<typeof startScripted>[0], options: JoinedOptions = {}): Promise<void> {
  upstream = await startScripted(serve);
  joined = await startJoined({ ...options, timeouts: { upstreamKeepaliveMs: 60_000, ...options.timeouts } });
}

async function newGuest(): Promise<RawGuest> {
  const guest = await openGuest(joined.port);
  guests.push(guest);
  return guest;
}

const request = (method: string, path: string, fields = "", body = ""): string =>
  `${method} http://api.test:${upstream.port}${path} HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n${fields}\r\n${body}`;

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const count = (text: string, what: string): number => text.split(what).length - 1;

describe("a full pool", () => {
  test("makes room for the retry of an exchange whose connection was stale", async () => {
    const wave = 4;
    let asked = 0;
    await start(
      (socket, text, index) => {
        if (index >= wave) socket.write(OK);
        else if (count(text, "\r\n\r\n") > 1) socket.destroy();
        // The first answers wait for each other, so that as many connections are opened.
        else if (++asked === wave) for (const each of upstream.sockets) each.write(OK);
      },
      { maxConnections: wave, timeouts: { upstreamKeepaliveMs: 60_000, upstreamConnectMs: 60_000 } },
    );
    const first = await Promise.all(Array.from({ length: wave }, newGuest));
    for (const guest of first) guest.send(request("GET", "/first"));
    await Promise.all(first.map((guest) => guest.until(/ok$/)));
    // One of the pooled connections turns out to be stale; the other ones are idle and fill the pool.
    first[0]?.send(request("GET", "/again"));
    expect(await first[0]?.until(/ok[^]*ok$/)).toMatch(/ok$/);
    await eventually(() => joined.records.length === wave + 1, "the record");
    expect(joined.records.at(-1)).toMatchObject({ outcome: "completed", retried: true });
    for (const socket of upstream.sockets) socket.destroy();
  });

  test("serves whoever waits when a connection becomes free, in order, and skips guests that left", async () => {
    await start(() => undefined, { maxConnections: 1 });
    const [a, b, c] = [await newGuest(), await newGuest(), await newGuest()];
    const answer = (): void => void upstream.sockets[0]?.write(OK);
    a.send(request("GET", "/a"));
    await eventually(() => upstream.received[0]?.endsWith("\r\n\r\n") === true, "the first");
    b.send(request("GET", "/b"));
    c.send(request("GET", "/c"));
    await eventually(() => joined.leases.length === 3, "three exchanges");
    b.socket.resetAndDestroy();
    await eventually(() => joined.listener.openConnections === 2, "the end of the second");
    answer();
    await a.until(/ok$/);
    await eventually(() => upstream.received[0]?.includes("GET /c ") === true, "the third");
    answer();
    await c.until(/ok$/);
    expect(upstream.sockets).toHaveLength(1);
    expect(upstream.received[0]).not.toContain("GET /b ");
    await eventually(() => joined.records.length === 3, "three records");
  });
});

test("a full pool is full for its own upstream alone: another host of the same destination is served", async () => {
  await start((socket, text) => text.includes("Host: b.test") && socket.write(OK), { maxConnections: 1 });
  const [a, b] = [await newGuest(), await newGuest()];
  a.send(request("GET", "/stays"));
  await eventually(() => upstream.received[0]?.endsWith("\r\n\r\n") === true, "the first");
  b.send(request("GET", "/").replaceAll("api.test", "b.test"));
  expect(await b.until(/ok$/)).toMatch(/^HTTP\/1\.1 200 /);
  expect(upstream.sockets).toHaveLength(2);
});

describe("a connection is not used again", () => {
  test.each([
    ["bytes follow its answer at once", `${OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen`, ""],
    ["bytes follow its answer later", OK, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"],
    ["the upstream says that it closes", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", ""],
    ["the upstream speaks HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", ""],
    ["the upstream keeps it for a moment only", OK.replace("\r\n\r\n", "\r\nKeep-Alive: timeout=1\r\n\r\n"), ""],
    ["a body followed an answer that has none", "HTTP/1.1 204 No Content\r\n\r\nok", ""],
  ])("when %s", async (_name, answer, later) => {
    await start((socket) => {
      socket.write(answer);
      if (later !== "") setTimeout(() => socket.write(later), 20);
    });
    const guest = await newGuest();
    guest.send(request("GET", "/1"));
    await eventually(() => joined.records.length === 1 && joined.open() === 0, "the end of the first");
    guest.send(request("GET", "/2"));
    await eventually(() => joined.records.length === 2, "the second");
    expect(upstream.sockets).toHaveLength(2);
    expect(guest.text).not.toContain("stolen");
  });

  test("when the answer came before all of the request had left", async () => {
    await start(() => undefined);
    const wire = new SlowWire();
    let idle = 0;
    const connection = new UpstreamConnection(wire as unknown as Socket, "127.0.0.1", {
      clock: { monotonicMs: () => 0, wallMs: () => 0 },
      sweep: new DeadlineSweep(),
      timeouts: { upstreamConnectMs: 1000, upstreamHeadMs: 1000, bodyIdleMs: 1000, upstreamKeepaliveMs: 1000 },
      limits: { headBytes: 1000, headFields: 10, trailerBytes: 100, trailerFields: 10, interimResponses: 1 },
      onIdle: () => void idle++,
      onClosed: () => undefined,
    });
    const head = { method: "POST", target: "/", fields: Fields.of([["Host", "api.test"]]) };
    let ended = false;
    connection.send(
      head,
      {
        body: wholeBody("GET /smuggled HTTP/1.1\r\n\r\n"),
        upgrade: null,
        filter: null,
        wantsTrailers: false,
        cleanseTrailers: () => undefined,
      },
      sinkThat(() => {
        ended = true;
      }),
    );
    wire.push(OK);
    await once(wire, "close");
    expect(ended).toBe(true);
    expect(idle).toBe(0);
  });
});

/** A socket that takes its first write and no other. */
class SlowWire extends Duplex {
  constructor() {
    super({ allowHalfOpen: true });
  }
  override _read(): void {
    // Bytes come when the test says so.
  }
  override _write(): void {
    // Never done: the other side does not read.
  }
  ref(): void {
    // A connection of the test's own keeps nothing alive.
  }
  unref(): void {
    // A connection of the test's own keeps nothing alive.
  }
}

function wholeBody(text: string): RequestBody {
  const bytes = Buffer.from(text);
  return {
    length: bytes.length,
    expectContinue: false,
    start(sink: BodySink) {
      sink.bodyData(bytes);
      sink.bodyEnd(null);
      sink.bodyFlush();
    },
    resume: () => undefined,
  };
}

function sinkThat(onEnd: () => void): AnswerSink {
  return {
    interim: () => undefined,
    head: () => undefined,
    data: () => undefined,
    end: onEnd,
    flush: () => true,
    upgraded: () => undefined,
    failed: () => undefined,
  };
}
