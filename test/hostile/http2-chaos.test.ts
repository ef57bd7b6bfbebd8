import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { END_HEADERS, frame, headers, reset, settings, TYPE, windowUpdate } from "../guest/support/h2-frames.ts";
import { eventually } from "../line/support/joined.ts";
import { type Attacker, type Field, startTarget, type Target } from "./support/h2-attacker.ts";

/**
 * Guests, upstreams and ports that do by chance whatever they can do, at any moment, while the edge drains: nothing reaches the
 * process, every exchange is written down once, and no deadline outlives what it was for.
 */

const GUESTS = 5;
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

let target: Target | null = null;

afterEach(async () => {
  await target?.close();
  target = null;
});

/** Chance that a seed repeats. */
class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** From 0 to `n - 1`. */
  below(n: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * n);
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

const OK = "HTTP/1.1 200 OK\r\n";
const PIECES = [
  `${OK}Content-Length: 2\r\n\r\nok`,
  `${OK}Content-Length: 2\r\n\r\no`,
  `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`,
  "0\r\nx-b: 2\r\n\r\n",
  `${OK}\r\nuntil close`,
  `${OK}Content-Length: 300000\r\n\r\n${"y".repeat(300_000)}`,
  "HTTP/1.1 100 Continue\r\n\r\n",
  "HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n",
  "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\nraw",
  "HTTP/1.1 204 N\r\n\r\n",
  "HTTP/1.1 205 N\r\nContent-Length: 2\r\n\r\nok",
  "HTTP/1.1 304 N\r\n\r\n",
  "HTTP/1.1 401 N\r\nContent-Length: 0\r\n\r\n",
  "HTTP/1.1 413 N\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig",
  "garbage\r\n\r\n",
];

function begin(chance: Chance): Promise<Target> {
  return startTarget(
    {
      timeouts: TIMEOUTS,
      maxConnections: 8,
      ports: (line) => ({
        addresses: {
          pin: async (permit) => {
            await sleep(chance.below(8));
            if (chance.below(20) === 0) throw new Denial("name_unresolved");
            return line.addresses.pin(permit);
          },
        },
        leases: {
          ...line.leases,
          lease: async (permit) => {
            await sleep(chance.below(8));
            return line.leases.lease(permit);
          },
        },
      }),
    },
    (socket, received) => {
      const key = /Sec-WebSocket-Key: (\S+)/.exec(received)?.[1] ?? "";
      const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
      for (let i = chance.below(3); i >= 0; i--) {
        setTimeout(() => {
          if (socket.destroyed) return;
          const deed = chance.below(12);
          if (deed === 0) socket.resetAndDestroy();
          else if (deed === 1) socket.end();
          else socket.write(chance.of(PIECES).replace("{accept}", accept));
        }, chance.below(12));
      }
    },
  );
}

/** One thing that a guest does. @param last id of its last stream */
function deed(chance: Chance, at: Target, last: number): { readonly frames: Buffer; readonly last: number } {
  const request = at.request.bind(at);
  const next = last + 2;
  const old = 1 + 2 * chance.below((last + 1) / 2);
  const begun = (fields: readonly Field[], flags?: number) => ({ frames: headers(next, fields, flags), last: next });
  const said = (frames: Buffer) => ({ frames, last });
  switch (last < 1 ? 0 : chance.below(14)) {
    case 0:
    case 1:
      return begun(request());
    case 2: {
      const more = chance.of<Field>([
        ["te", "trailers"],
        ["expect", "100-continue"],
        ["content-length", "4"],
        ["content-type", "application/grpc"],
      ]);
      return begun([...request("/", chance.of(["POST", "PUT", "GET", "HEAD"])), more], END_HEADERS);
    }
    case 3:
      return begun([[":method", "CONNECT"], [":protocol", "websocket"], ...request().slice(1)], END_HEADERS);
    case 4:
      return begun([...request().slice(0, 3), [":authority", "other.test"]], chance.of([END_HEADERS, 5]));
    case 5:
    case 6:
      return said(frame(TYPE.data, chance.below(3) === 0 ? 1 : 0, old, Buffer.alloc(chance.of([0, 4, 9000]))));
    case 7:
      return said(headers(old, [["x-t", "1"]]));
    case 8:
    case 9:
      return said(reset(old, chance.of([0, 1, 2, 5, 8, 0xffffffff])));
    case 10:
      return said(windowUpdate(chance.of([0, old]), chance.of([1, 65_535, 1_000_000])));
    case 11:
      return said(settings(4, chance.of([0, 1, 100, 65_535])));
    case 12:
      return said(frame(TYPE.ping, 0, 0, Buffer.alloc(8)));
    default:
      if (chance.below(8) > 0) return said(windowUpdate(old, 100));
      return said(
        chance.of([windowUpdate(old, 0), frame(TYPE.goaway, 0, 0, Buffer.alloc(8)), frame(TYPE.data, 0, 999)]),
      );
  }
}

async function play(chance: Chance, at: Target, guest: Attacker): Promise<void> {
  let last = -1;
  for (let step = chance.below(60); step > 0 && !guest.reader.closed; step--) {
    const done = deed(chance, at, last);
    last = done.last;
    guest.send(done.frames);
    if (chance.below(10) === 0) guest.socket.pause();
    else if (chance.below(3) === 0) guest.socket.resume();
    if (chance.below(3) === 0) await sleep(chance.below(10));
  }
  if (chance.below(2) === 0) guest.socket.end();
  await sleep(chance.below(100));
  guest.socket.destroy();
}

test.each(Array.from({ length: 12 }, (_, i) => i + 1))("by chance %i", async (seed) => {
  const chance = new Chance(seed * 7919);
  const at = await begin(chance);
  target = at;
  // On a busy machine some do not get in before the edge's own deadlines.
  const opened = await Promise.allSettled(Array.from({ length: GUESTS }, () => at.attack()));
  const guests = opened.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const games = guests.map((guest) => play(chance, at, guest));
  await sleep(chance.below(300));
  await at.joined.drain();
  await Promise.all(games);
  await eventually(() => at.joined.records.length === at.joined.opened(), "the last record");
  await eventually(() => at.joined.sweep.size === 0, "the end of every deadline");
  expect(at.joined.faults).toEqual([]);
  expect(new Set(at.joined.records.map(({ id }) => id)).size).toBe(at.joined.opened());
  expect(at.joined.records.filter(({ denial }) => denial === "internal")).toEqual([]);
});
