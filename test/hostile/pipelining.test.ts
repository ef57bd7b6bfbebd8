import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { makeCa } from "../house/support/certificates.ts";
import { eventually, type Joined, type JoinedOptions, startJoined } from "../line/support/joined.ts";
import { openGuest, openTunnel, type RawGuest } from "./raw-guest.ts";

/**
 * Guests that pipeline what is refused without a wait: others have their turn between their requests. Told by the order in which
 * records are closed, since everything here happens in one process.
 */

let joined: Joined;
const guests: RawGuest[] = [];

afterEach(async () => {
  for (const guest of guests.splice(0)) guest.destroy();
  await joined.stop();
  expect(joined.faults).toEqual([]);
});

/** Refuses every request, and calls `onFirst` while it decides the first one. */
function refusing(onFirst: () => void): NonNullable<JoinedOptions["ports"]> {
  let isFirst = true;
  return ({ policy }) => ({
    policy: {
      ...policy,
      decide: () => {
        if (isFirst) onFirst();
        isFirst = false;
        throw new Denial("path_not_allowed");
      },
    },
  });
}

async function open(opening: Promise<RawGuest>): Promise<RawGuest> {
  const guest = await opening;
  guests.push(guest);
  return guest;
}

const request = (path: string, fields = ""): string =>
  `GET http://api.test${path} HTTP/1.1\r\nHost: api.test\r\n${fields}\r\n`;

/** How many pipelined requests were over before the other guest's, once all are. */
async function turnOfTheOther(all: number): Promise<number> {
  await eventually(() => joined.records.filter(({ kind }) => kind === "http").length === all + 1, "every record");
  const paths = joined.records.filter(({ kind }) => kind === "http").map(({ path }) => path);
  expect(paths.filter((path) => path === "/pipelined")).toHaveLength(all);
  return paths.indexOf("/other");
}

test("one connection begins 8 requests, then others have their turn", async () => {
  let other: RawGuest | null = null;
  joined = await startJoined({ ports: refusing(() => other?.send(request("/other"))) });
  other = await open(openGuest(joined.port));
  const guest = await open(openGuest(joined.port));
  guest.send(request("/pipelined").repeat(1000));
  // Eight of the turn in which the other sends, eight between that and the one in which it is read.
  expect(await turnOfTheOther(1000)).toBeLessThanOrEqual(16);
});

test("a request in each record of TLS, all in one segment, is no way round it", async () => {
  const directory = await mkdtemp(join(tmpdir(), "postern-pipelining-"));
  const leaf = await (await makeCa(directory)).issue(["api.test"]);
  await rm(directory, { recursive: true });
  let other: RawGuest | null = null;
  joined = await startJoined({ leaf, ports: refusing(() => other?.send(request("/other"))) });
  other = await open(openGuest(joined.port));
  const guest = await open(openTunnel(joined.port, "api.test:443", "api.test"));
  const RECORD_BYTES = 512;
  (guest.socket as TLSSocket).setMaxSendFragment(RECORD_BYTES);
  const head = "GET /pipelined HTTP/1.1\r\nHost: api.test\r\nX-Fill: \r\n\r\n";
  const one = head.replace("Fill: ", `Fill: ${"x".repeat(RECORD_BYTES - head.length)}`);
  expect(one).toHaveLength(RECORD_BYTES);
  guest.send(one.repeat(100));
  expect(await turnOfTheOther(100)).toBeLessThanOrEqual(16);
});

test("many connections together do not begin 8 each before others have their turn", async () => {
  const CONNECTIONS = 100;
  const EACH = 50;
  let other: RawGuest | null = null;
  joined = await startJoined({ ports: refusing(() => other?.send(request("/other"))) });
  other = await open(openGuest(joined.port));
  const many = await Promise.all(Array.from({ length: CONNECTIONS }, () => open(openGuest(joined.port))));
  await eventually(() => joined.listener.openConnections === CONNECTIONS + 1, "every connection");
  for (const guest of many) guest.send(request("/pipelined").repeat(EACH));
  // In each of two turns at most the first of every connection and 64 that follow.
  expect(await turnOfTheOther(CONNECTIONS * EACH)).toBeLessThanOrEqual(2 * (CONNECTIONS + 64));
});

test("all that was pipelined is answered in order, by a guest that closed its sending side too", async () => {
  joined = await startJoined({ ports: refusing(() => undefined) });
  const guest = await open(openGuest(joined.port));
  const paths = Array.from({ length: 3000 }, (_, i) => `/${i}`);
  guest.send(paths.map((path) => request(path)).join(""));
  guest.socket.end();
  const text = await guest.ended();
  expect(text.split("x-deny-reason: path_not_allowed").length - 1).toBe(paths.length);
  expect(joined.records.map(({ path }) => path)).toEqual(paths);
});

test("a connection that ends while it waits for its turn begins nothing more", async () => {
  let guest: RawGuest | null = null;
  let decided = 0;
  joined = await startJoined({
    ports: ({ policy }) => ({
      policy: {
        ...policy,
        decide: () => {
          // The edge sees the end in the next turn, before the ninth request.
          if (++decided === 1) guest?.socket.resetAndDestroy();
          throw new Denial("path_not_allowed");
        },
      },
    }),
  });
  guest = await open(openGuest(joined.port));
  const closed = once(guest.socket, "close");
  guest.send(request("/pipelined").repeat(1000));
  await closed;
  await eventually(() => joined.listener.openConnections === 0, "the end of the connection");
  expect(decided).toBeLessThan(1000);
});

test("a drain ends a connection that waits for its turn", async () => {
  const draining = Promise.withResolvers<void>();
  joined = await startJoined({
    timeouts: { drainMs: 60_000 },
    ports: refusing(() => setImmediate(() => draining.resolve(joined.drain()))),
  });
  const guest = await open(openGuest(joined.port));
  guest.send(request("/pipelined").repeat(1000));
  await guest.ended();
  guest.socket.end();
  await draining.promise;
  expect(joined.records.length).toBeLessThan(1000);
  expect(guest.text.split("x-deny-reason").length - 1).toBe(joined.records.length);
});

test("a drain hands a guest that waits for its turn what was answered, however slowly it reads", async () => {
  let decided = 0;
  const draining = Promise.withResolvers<void>();
  let isDraining = false;
  joined = await startJoined({
    timeouts: { drainMs: 10_000 },
    ports: ({ policy }) => ({
      policy: {
        ...policy,
        decide: () => {
          if (++decided === 500) {
            setImmediate(() => {
              isDraining = true;
              draining.resolve(joined.drain());
            });
          }
          throw new Denial("path_not_allowed");
        },
      },
    }),
  });
  const guest = await open(openGuest(joined.port));
  guest.socket.pause();
  // Most of it has not left the kernel by then.
  guest.send(request("/pipelined").repeat(20_000));
  await eventually(() => isDraining, "the drain");
  await joined.passed(200);
  guest.socket.resume();
  await guest.ended();
  expect(guest.text.split("x-deny-reason").length - 1).toBe(joined.records.length);
  guest.socket.end();
  await draining.promise;
});

test("what a guest pipelines beyond what is answered stays outside", async () => {
  const WHOLE_BYTES = 100_000_000;
  joined = await startJoined({ ports: refusing(() => undefined) });
  const guest = await open(openGuest(joined.port));
  const block = request("/pipelined").repeat(20_000);
  let sent = 0;
  const send = (): void => {
    while (sent < WHOLE_BYTES && guest.socket.writableLength < block.length) {
      guest.send(block);
      sent += block.length;
    }
  };
  guest.socket.on("drain", send);
  send();
  const ANSWERS = 10_000;
  await eventually(() => joined.records.length >= ANSWERS, "many answers");
  const taken = sent - guest.socket.writableLength;
  // The buffers of the two sockets hold megabytes; one segment more for each turn would be everything.
  expect(taken).toBeLessThan(WHOLE_BYTES / 4);
});
