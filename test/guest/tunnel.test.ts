import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { makeCa, type TestLeaf } from "../house/support/certificates.ts";
import { openGuest, type RawGuest } from "../hostile/raw-guest.ts";
import { PREFACE, settings } from "./support/h2-frames.ts";
import { clientHello } from "./support/hello.ts";
import { hello13, helloRetryRequest } from "./support/server-hello.ts";
import {
  eventually,
  type Joined,
  type JoinedOptions,
  type Scripted,
  startJoined,
  startScripted,
} from "../line/support/joined.ts";

/** Tunnels and upgraded streams: how they begin, how each of their ends ends them. */

let joined: Joined;
let upstream: Scripted;
let guest: RawGuest;
let directory: string;
let leaf: TestLeaf;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-tunnel-"));
  leaf = await (await makeCa(directory)).issue(["api.test"]);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

afterEach(async () => {
  guest.destroy();
  await joined.stop();
  await upstream.close();
  expect(joined.faults).toEqual([]);
});

const PASS_THROUGH = { tls: "passthrough", credential: null, attachments: [] } as const;

async function start(serve: Parameters<typeof startScripted>[0], options: JoinedOptions = {}): Promise<void> {
  upstream = await startScripted(serve);
  joined = await startJoined(options);
  guest = await openGuest(joined.port);
}

async function connect(): Promise<void> {
  guest.send(`CONNECT api.test:${upstream.port} HTTP/1.1\r\n\r\n`);
  await guest.until(/^HTTP\/1\.1 200 [^]*\r\n\r\n$/);
}

const record = (): Promise<void> => eventually(() => joined.records.length === 1, "the record");

/** What the guest's side has sent is there for the edge some turns of the event loop later. */
async function arrived(): Promise<void> {
  for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
}

/** The same of its end, which may be told or not. */
async function ended(): Promise<void> {
  await once(guest.socket, "finish");
  await arrived();
}

function readSlowly(): void {
  guest.socket.on("data", () => {
    guest.socket.pause();
    setTimeout(() => guest.socket.resume(), 3);
  });
}

/** Dials only when told to. */
function heldDial(): { readonly options: JoinedOptions; readonly go: () => void } {
  let go = (): void => undefined;
  const until = new Promise<void>((resolve) => {
    go = resolve;
  });
  return {
    go: () => go(),
    options: {
      destination: PASS_THROUGH,
      ports: ({ upstream: pools }) => ({
        upstream: {
          connect: (...args) => pools.connect(...args),
          dialRaw: async (...args) => {
            await until;
            return pools.dialRaw(...args);
          },
        },
      }),
    },
  };
}

describe("a CONNECT whose guest leaves before it is answered", () => {
  test.each([
    ["closes", (socket: Socket) => socket.destroy()],
    ["resets", (socket: Socket) => socket.resetAndDestroy()],
    ["closes its sending side", (socket: Socket) => socket.end()],
  ])("a guest that %s", async (_name, leave) => {
    const dial = heldDial();
    await start(() => undefined, dial.options);
    guest.send(`CONNECT api.test:${upstream.port} HTTP/1.1\r\n\r\n`);
    await eventually(() => joined.listener.openConnections === 1, "the connection");
    leave(guest.socket);
    await eventually(() => joined.listener.openConnections === 0, "its end");
    dial.go();
    await record();
    expect(joined.records[0]).toMatchObject({ outcome: "guest_aborted", denial: null });
    await eventually(() => upstream.sockets.every((socket) => socket.destroyed), "the upstream's end");
  });
});

describe("a pass-through tunnel", () => {
  test.each([
    ["resets", (socket: Socket) => socket.resetAndDestroy()],
    ["closes", (socket: Socket) => socket.destroy()],
    ["closes its sending side", (socket: Socket) => socket.end()],
  ])("ends when an upstream %s before the hello came", async (_name, leave) => {
    await start(() => undefined, { destination: PASS_THROUGH });
    await connect();
    await eventually(() => upstream.sockets.length === 1, "the dial");
    leave(upstream.sockets[0] as Socket);
    await arrived();
    guest.send(clientHello("api.test"));
    await guest.ended();
    guest.socket.end();
    await record();
    expect(joined.records[0]).toMatchObject({ kind: "connect", status: 200 });
  });

  test.each([
    ["of TLS 1.2", clientHello("api.test")],
    ["of TLS 1.3, although what follows it would wait for the upstream", hello13("api.test")],
  ])(
    "hands a slow guest that ended behind a hello %s all that the upstream sent before it closed",
    async (_name, hello) => {
      const bytes = 12_000_000;
      upstream = await startScripted(
        () => undefined,
        (socket) => socket.end(Buffer.alloc(bytes, "x")),
      );
      joined = await startJoined({ destination: PASS_THROUGH });
      guest = await openGuest(joined.port);
      await connect();
      const head = guest.text.length;
      guest.send(hello);
      guest.socket.end();
      readSlowly();
      await guest.ended();
      expect(guest.text.length - head).toBe(bytes);
      await record();
      expect(joined.records[0]).toMatchObject({ outcome: "completed", bytesToGuest: bytes });
    },
  );

  test("hands on a hello and an end that came while it was dialled", async () => {
    const dial = heldDial();
    await start(() => undefined, dial.options);
    guest.send(`CONNECT api.test:${upstream.port} HTTP/1.1\r\n\r\n`);
    await eventually(() => joined.opened() === 1, "the request");
    guest.socket.end(clientHello("api.test"));
    await ended();
    dial.go();
    await guest.ended();
    expect(upstream.received).toEqual([clientHello("api.test").toString("latin1")]);
    await record();
    expect(joined.records[0]).toMatchObject({ status: 200, outcome: "completed", denial: null });
  });

  test("has a life of its own, busy or not", async () => {
    await start((socket) => socket.write("tock"), {
      destination: PASS_THROUGH,
      timeouts: { tunnelLifeMs: 600, tunnelIdleMs: 60_000 },
    });
    await connect();
    guest.send(clientHello("api.test"));
    const ticking = setInterval(() => guest.send("tick"), 20);
    await guest.ended();
    clearInterval(ticking);
    await record();
    expect(guest.text).toContain("tock");
    expect(joined.records).toMatchObject([{ status: 200, outcome: "edge_aborted" }]);
  });

  test("whose upstream never answers the hello was cut by the edge, what it held back with it", async () => {
    await start(() => undefined, { destination: PASS_THROUGH, timeouts: { tunnelIdleMs: 100 } });
    await connect();
    const hello = hello13("api.test");
    guest.send(Buffer.concat([hello, Buffer.alloc(100_000)]));
    await guest.ended();
    await record();
    expect(joined.records).toMatchObject([{ status: 200, outcome: "edge_aborted", bytesFromGuest: hello.length }]);
    expect(upstream.received).toEqual([hello.toString("latin1")]);
    await eventually(() => upstream.sockets.every((socket) => socket.destroyed), "the upstream's end");
  });

  test("that a drain cuts while a second hello is awaited was refused by nobody", async () => {
    await start((socket) => socket.write(helloRetryRequest()), { destination: PASS_THROUGH });
    await connect();
    guest.send(hello13("api.test"));
    await guest.when(() => guest.text.endsWith(helloRetryRequest().toString("latin1")));
    await joined.drain();
    expect(joined.records).toMatchObject([{ status: 200, outcome: "edge_aborted", denial: null }]);
  });

  test.each([
    ["resets", (socket: Socket) => socket.resetAndDestroy()],
    ["closes", (socket: Socket) => socket.destroy()],
  ])("ends when its upstream %s in place of an answer to the hello", async (_name, leave) => {
    await start(leave, { destination: PASS_THROUGH });
    await connect();
    guest.send(Buffer.concat([hello13("api.test"), Buffer.alloc(1000)]));
    await guest.ended();
    guest.socket.end();
    await record();
    await eventually(() => joined.listener.openConnections === 0, "the end");
  });

  test("that falls silent was cut by the edge", async () => {
    await start((socket) => socket.write("tock"), { destination: PASS_THROUGH, timeouts: { tunnelIdleMs: 100 } });
    await connect();
    guest.send(clientHello("api.test"));
    await guest.ended();
    await record();
    expect(joined.records).toMatchObject([{ status: 200, outcome: "edge_aborted", bytesToGuest: 4 }]);
  });

  test("that a drain cuts was cut by the edge", async () => {
    await start((socket) => socket.write("tock"), { destination: PASS_THROUGH });
    await connect();
    guest.send(clientHello("api.test"));
    await guest.until(/tock$/);
    await joined.drain();
    expect(joined.records).toMatchObject([{ status: 200, outcome: "edge_aborted", denial: null }]);
    await eventually(() => upstream.sockets.every((socket) => socket.destroyed), "the upstream's end");
  });

  test("that a drain cuts before its hello came was refused by nobody", async () => {
    await start(() => undefined, { destination: PASS_THROUGH });
    await connect();
    await joined.drain();
    expect(joined.records).toMatchObject([{ outcome: "edge_aborted", denial: null }]);
  });
});

describe("an upgraded stream", () => {
  const ask = (): string =>
    `GET http://api.test:${upstream.port}/ws HTTP/1.1\r\nHost: api.test:${upstream.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
  const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

  test("has a life of its own, busy or not", async () => {
    await start((socket, text) => socket.write(text.endsWith("tick") ? "tock" : SWITCH), {
      timeouts: { tunnelLifeMs: 600, tunnelIdleMs: 60_000 },
    });
    guest.send(ask());
    await guest.until(/^HTTP\/1\.1 101 [^]*\r\n\r\n$/);
    const ticking = setInterval(() => guest.send("tick"), 20);
    await guest.ended();
    clearInterval(ticking);
    await record();
    expect(guest.text).toContain("tock");
    expect(joined.records).toMatchObject([{ status: 101, outcome: "edge_aborted" }]);
    await eventually(() => joined.open() === 0, "the upstream's end");
  });

  test("that a drain cuts was cut by the edge", async () => {
    await start((socket) => socket.write(SWITCH));
    guest.send(ask());
    await guest.until(/^HTTP\/1\.1 101 [^]*\r\n\r\n$/);
    await joined.drain();
    expect(joined.records).toMatchObject([{ status: 101, outcome: "edge_aborted" }]);
    await eventually(() => joined.open() === 0, "the upstream's end");
  });

  test("passes on what came with the head, and both ends' half-close", async () => {
    await start((socket, text) => {
      if (text.endsWith("\r\n\r\n")) socket.write(`${SWITCH}early, too`);
      if (text.endsWith("late")) socket.end("and last");
    });
    guest.send(`${ask()}early`);
    await guest.until(/early, too$/);
    guest.socket.end("late");
    expect(await guest.ended()).toMatch(/early, tooand last$/);
    await record();
    expect(joined.records[0]).toMatchObject({ outcome: "completed", bytesFromGuest: 9, bytesToGuest: 18 });
  });
});

describe("a guest that has closed its sending side when its upgrade is answered", () => {
  const UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  const SWITCH = `HTTP/1.1 101 Switching Protocols\r\n${UPGRADE}\r\n`;

  test.each([
    ["is heard to its end, what came with the head", ""],
    ["is heard to its end, what came behind it", "late, too"],
  ])("%s", async (_name, late) => {
    await start(() => undefined, { destination: { credential: null, attachments: [] } });
    const host = `api.test:${upstream.port}`;
    guest.send(`GET http://${host}/ws HTTP/1.1\r\nHost: ${host}\r\n${UPGRADE}\r\nearly`);
    await eventually(() => upstream.received[0]?.endsWith("\r\n\r\n") === true, "the request");
    guest.socket.end(late);
    await ended();
    upstream.sockets[0]?.write(`${SWITCH}hello`);
    expect(await guest.ended()).toMatch(/hello$/);
    expect(upstream.received[0]).toMatch(new RegExp(`\\r\\n\\r\\nearly${late}$`));
    await record();
    expect(joined.records[0]).toMatchObject({
      outcome: "completed",
      bytesFromGuest: 5 + late.length,
      bytesToGuest: 5,
    });
    await eventually(() => joined.listener.openConnections === 0 && joined.open() === 0, "both ends");
  });

  test("is handed all of a long answer, at its own pace", async () => {
    const bytes = 12_000_000;
    upstream = await startScripted(
      () => undefined,
      (socket) => socket.end(Buffer.alloc(bytes, "x")),
    );
    joined = await startJoined();
    guest = await openGuest(joined.port);
    const host = `api.test:${upstream.port}`;
    guest.send(`GET http://${host}/ws HTTP/1.1\r\nHost: ${host}\r\n${UPGRADE}\r\nearly`);
    await eventually(() => upstream.received[0]?.endsWith("\r\n\r\n") === true, "the request");
    guest.socket.end();
    await ended();
    upstream.sockets[0]?.write(SWITCH);
    await guest.until(/\r\n\r\n/);
    const head = guest.text.indexOf("\r\n\r\n") + 4;
    readSlowly();
    await guest.ended();
    expect(guest.text.length - head).toBe(bytes);
    await record();
    expect(joined.records[0]).toMatchObject({ outcome: "completed", bytesFromGuest: 5, bytesToGuest: bytes });
  });

  test("is gone when its upstream breaks", async () => {
    await start(() => undefined);
    const host = `api.test:${upstream.port}`;
    guest.send(`GET http://${host}/ws HTTP/1.1\r\nHost: ${host}\r\n${UPGRADE}\r\nearly`);
    await eventually(() => upstream.received[0]?.endsWith("\r\n\r\n") === true, "the request");
    guest.socket.end();
    await ended();
    upstream.sockets[0]?.write(SWITCH);
    await guest.until(/\r\n\r\n/);
    upstream.sockets[0]?.resetAndDestroy();
    await guest.ended();
    await record();
    await eventually(() => joined.listener.openConnections === 0, "its end");
  });
});

describe("an opened tunnel", () => {
  const CLEAR = { scheme: "http", credential: null, attachments: [] } as const;

  test.each([1, 2, 3, 4, 5])("is HTTP/2 by its preface, be it cut after %i bytes", async (cut) => {
    await start(() => undefined, { destination: { ...CLEAR, http: "h2c" } });
    await connect();
    const established = guest.text.length;
    const preface = Buffer.concat([Buffer.from(PREFACE), settings()]);
    guest.send(preface.subarray(0, cut));
    await arrived();
    guest.send(preface.subarray(cut));
    // A SETTINGS frame.
    await guest.when(() => guest.text.length >= established + 9);
    expect(guest.text.charCodeAt(established + 3)).toBe(4);
  });

  test("is refused for the preface of HTTP/2 that nobody agreed on, be it in drips", async () => {
    await start(() => undefined, { destination: CLEAR });
    await connect();
    const established = guest.text;
    for (const byte of "PRI ") {
      guest.send(byte);
      await arrived();
    }
    expect(await guest.ended()).toBe(established);
    await record();
    expect(joined.records).toMatchObject([{ denial: "tunnel_unsupported", detail: expect.stringContaining("HTTP/2") }]);
  });

  test.each(["POST / HTTP/1.1", "PRINT / HTTP/1.1", "PR / HTTP/1.1"])("is HTTP/1.1 in drips: %s", async (line) => {
    await start((socket, text) => text.endsWith("\r\n\r\n") && socket.write("HTTP/1.1 204 No Content\r\n\r\n"), {
      destination: CLEAR,
    });
    await connect();
    for (const byte of `${line}\r\nHost: api.test:${upstream.port}\r\nContent-Length: 0\r\n\r\n`) {
      guest.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await guest.until(/ 204 [^]*\r\n\r\n$/);
    expect(upstream.received[0]).toMatch(new RegExp(`^${line}\r\n`));
  });

  test("whose guest stops in the middle of what may be a preface waits no longer than for a hello", async () => {
    await start(() => undefined, { destination: CLEAR, timeouts: { tlsHelloMs: 100 } });
    await connect();
    guest.send("PR");
    await guest.ended();
    await record();
    expect(joined.records).toMatchObject([{ denial: "request_timeout", outcome: "denied" }]);
  });

  test("answers a request and an end that came before it was", async () => {
    let go = (): void => undefined;
    const until = new Promise<void>((resolve) => {
      go = resolve;
    });
    await start(
      (socket, text) => text.endsWith("\r\n\r\n") && socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
      {
        ports: ({ addresses }) => ({
          addresses: {
            pin: async (permit) => {
              await until;
              return addresses.pin(permit);
            },
          },
        }),
      },
    );
    // An address is judged before the tunnel is answered.
    const host = `127.0.0.1:${upstream.port}`;
    guest.send(`CONNECT ${host} HTTP/1.1\r\n\r\n`);
    await eventually(() => joined.opened() === 1, "the request");
    guest.socket.end(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await ended();
    go();
    expect(await guest.ended()).toMatch(/ok$/);
    await eventually(() => joined.records.length === 2, "both records");
    expect(joined.records).toMatchObject([
      { kind: "connect", status: 200, outcome: "completed" },
      { kind: "http", status: 200, outcome: "completed" },
    ]);
  });

  test("ends when what comes is no TLS any more", async () => {
    await start((socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), {
      leaf,
      timeouts: { guestIdleMs: 60_000 },
    });
    await connect();
    guest.socket.removeAllListeners("data");
    const secured = connectTls({ socket: guest.socket, servername: "api.test", rejectUnauthorized: false });
    await once(secured, "secureConnect");
    secured.on("error", () => undefined);
    secured.write(`GET /one HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
    await once(secured, "data");
    guest.send("\x17\x03\x03\x00\x20" + "x".repeat(32));
    await eventually(() => joined.listener.openConnections === 0, "the end");
  });
});
