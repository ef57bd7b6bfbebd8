import type { Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Denial, type DenialCode } from "../../src/core/denial.ts";
import type { SessionProof } from "../../src/core/wire.ts";
import { openGuest, type RawGuest } from "../hostile/raw-guest.ts";
import {
  eventually,
  type Joined,
  type JoinedOptions,
  type Scripted,
  startJoined,
  startScripted,
} from "../line/support/joined.ts";
import { clientHello } from "./support/hello.ts";
import { command, greeting, login } from "./support/socks.ts";

/** A SOCKS5 guest on the line: what proves it, what it is told, how it ends. */

let joined: Joined;
let upstream: Scripted;
let guest: RawGuest;
const proofs: SessionProof[] = [];

afterEach(async () => {
  guest.destroy();
  await joined.stop();
  await upstream.close();
  proofs.length = 0;
  expect(joined.faults).toEqual([]);
});

async function start(serve: Parameters<typeof startScripted>[0], options: JoinedOptions = {}): Promise<void> {
  upstream = await startScripted(serve);
  joined = await startJoined({
    ...options,
    ports: (line) => ({
      sessions: {
        identify(proof) {
          proofs.push(proof);
          return line.sessions.identify(proof);
        },
      },
      ...options.ports?.(line),
    }),
    listener: { protocol: "socks5" },
  });
  guest = await openGuest(joined.port);
}

const PASS_THROUGH = { tls: "passthrough", credential: null, attachments: [] } as const;
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const reply = (code: number): string => `\x05${String.fromCharCode(code)}\0\x01\0\0\0\0\0\0`;
const bytes = (...parts: (string | Buffer)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part)));
const ask = (): Buffer => bytes(greeting(0), command("api.test", upstream.port));
const get = (): string => `GET /x HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`;
const record = (count = 1): Promise<void> => eventually(() => joined.records.length === count, "the record");

describe("a tunnel", () => {
  test("requests that were sent ahead of every answer are kept, and carry the credential", async () => {
    await start((socket) => socket.write(OK));
    guest.send(bytes(ask(), get()));
    await guest.until(/ok$/);
    expect(guest.text).toBe(`\x05\0${reply(0)}${OK}`);
    expect(upstream.received[0]).toContain("Authorization: Bearer ");
    expect(joined.records).toMatchObject([
      { kind: "connect", method: "CONNECT", authority: `api.test:${upstream.port}`, status: 200, outcome: "completed" },
      { kind: "http", status: 200 },
    ]);
  });

  test("user and password are the proof of the tunnel and of what is in it", async () => {
    await start((socket) => socket.write(OK));
    guest.send(bytes(greeting(0, 2), login("sandbox", "token"), command("api.test", upstream.port), get()));
    await guest.until(/ok$/);
    const proof = { listener: "guests", proxyAuthorization: "Basic c2FuZGJveDp0b2tlbg==", clientCertificate: null };
    expect(proofs).toEqual([proof, proof]);
    expect(upstream.received[0]).not.toMatch(/proxy-authorization|c2FuZGJveDp0b2tlbg/i);
  });

  test("a pass-through destination is answered once it is dialled, byte for byte from then on", async () => {
    await start((socket) => socket.write("tock"), { destination: PASS_THROUGH });
    const hello = clientHello("api.test");
    guest.send(bytes(ask(), hello));
    await guest.until(/tock$/);
    expect(guest.text).toBe(`\x05\0${reply(0)}tock`);
    expect(Buffer.from(upstream.received[0] ?? "", "latin1").equals(hello)).toBe(true);
  });

  test("is cut by a drain like any other", async () => {
    await start((socket) => socket.write("tock"), { destination: PASS_THROUGH });
    guest.send(bytes(ask(), clientHello("api.test")));
    await guest.until(/tock$/);
    await joined.drain();
    await guest.ended();
    expect(joined.records).toMatchObject([{ status: 200, outcome: "edge_aborted", denial: null }]);
  });
});

describe("a refusal", () => {
  test.each<[DenialCode, number, Error | null]>([
    ["name_unresolved", 0x04, null],
    ["address_denied", 0x02, null],
    ["upstream_timeout", 0x04, null],
    ["upstream_unreachable", 0x04, null],
    ["upstream_unreachable", 0x05, Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" })],
    ["internal", 0x01, null],
  ])("%s is reply %i", async (code, answer, cause) => {
    await start(() => undefined, {
      destination: PASS_THROUGH,
      ports: ({ upstream: pools }) => ({
        upstream: {
          connect: (...args) => pools.connect(...args),
          dialRaw: () => Promise.reject(new Denial(code, cause === null ? {} : { cause })),
        },
      }),
    });
    guest.send(bytes(ask(), clientHello("api.test")));
    expect(await guest.ended()).toBe(`\x05\0${reply(answer)}`);
    expect(upstream.sockets).toHaveLength(0);
    expect(joined.records).toMatchObject([{ kind: "connect", denial: code, outcome: "denied" }]);
  });

  test("of an upstream that is really not there", async () => {
    await start(() => undefined, { destination: PASS_THROUGH });
    const { port } = upstream;
    await upstream.close();
    guest.send(bytes(greeting(0), command("api.test", port)));
    expect(await guest.ended()).toBe(`\x05\0${reply(5)}`);
  });

  test("a guest on top of the limit is told that no method will do", async () => {
    await start(() => undefined, { limits: { connections: 1 } });
    await eventually(() => joined.listener.openConnections === 1, "the first");
    const next = await openGuest(joined.port);
    expect(await next.ended()).toBe("\x05\xff");
    expect(joined.records).toMatchObject([{ kind: "connection", denial: "connection_limit" }]);
  });
});

describe("a guest that leaves", () => {
  test.each([
    ["closes", (socket: Socket) => socket.destroy()],
    ["resets", (socket: Socket) => socket.resetAndDestroy()],
    ["closes its sending side", (socket: Socket) => socket.end()],
  ])("before the answer: %s", async (_name, leave) => {
    let dial = (): void => undefined;
    const until = new Promise<void>((resolve) => (dial = resolve));
    await start(() => undefined, {
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
    });
    guest.send(ask());
    await guest.when(() => guest.text === "\x05\0");
    leave(guest.socket);
    await eventually(() => joined.opened() === 1, "the request");
    // Whoever came later has been heard: so was the end of this one.
    const later = await openGuest(joined.port);
    later.send(greeting(0));
    await later.when(() => later.text === "\x05\0");
    dial();
    await record();
    expect(joined.records).toMatchObject([{ outcome: "guest_aborted", denial: null }]);
    await eventually(() => joined.listener.openConnections === 1, "its end");
    await eventually(() => upstream.sockets.every((socket) => socket.destroyed), "the upstream's end");
    later.destroy();
  });

  test("is closed by a drain while it says nothing, and was refused by nobody", async () => {
    await start(() => undefined, { timeouts: { drainMs: 20_000 } });
    guest.send(greeting(0));
    await guest.when(() => guest.text === "\x05\0");
    await joined.drain();
    await guest.ended();
    expect(joined.records).toEqual([]);
  });
});
