import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { block, headers, inFrames, reset, settings } from "../guest/support/h2-frames.ts";
import { ask, beginHttp2, openSecure } from "../guest/support/h2-guest.ts";
import { eventually, standstill } from "../line/support/joined.ts";
import { Attacker, type Field, startTarget, type Target, TOO_MANY } from "./support/h2-attacker.ts";
import { openGuest, type RawGuest } from "./raw-guest.ts";

/** A guest that comes back after each flood: it has to wait, longer each time, and nobody else has. */

const CANCEL = 8;
const OFFENCES = 7;
/** After so many offences. */
const SPACING_MS = 3200;

type Way = (guest: Attacker, target: Target) => Promise<void>;

const flood: Way = (guest) => guest.flood(Buffer.concat(Array.from({ length: 500 }, () => settings())));

/** Fewer than what it would be cut for. */
const resetAndLeave: Way = async (guest, target) => {
  const streams = Array.from({ length: 80 }, (_, i) => 1 + 2 * i);
  guest.send(...streams.flatMap((stream) => [headers(stream, target.request()), reset(stream, CANCEL)]));
  // What was sent is there.
  guest.send(headers(1001, target.request()));
  await guest.answered(1001);
  await leave(guest);
};

/** In one write, and gone before anybody looks. */
const unfoldAndLeave: Way = async (guest, target) => {
  const streams = Array.from({ length: 60 }, (_, i) => 1 + 2 * i);
  guest.send(...streams.map((stream) => headers(stream, [...target.request(), ...TOO_MANY])));
  await eventually(() => guest.reader.codes().has(119), "the reset of the last one");
  await leave(guest);
};

async function leave(guest: Attacker): Promise<void> {
  guest.socket.destroy();
  await eventually(() => guest.reader.closed, "its own end");
}

/**
 * Everybody offends at once, all of them there before the first offence; resolves when it is written down.
 * @returns when the last of them was done, `ms`
 */
async function offendAll(target: Target, offend: Way): Promise<number> {
  const guests: Attacker[] = [];
  for (let i = 0; i < OFFENCES; i++) guests.push(await target.attack());
  await Promise.all(guests.map((guest) => offend(guest, target)));
  const offendedMs = performance.now();
  await standstill(() => target.joined.opened(), "the last offence");
  return offendedMs;
}

/** A guest whose CONNECT the edge has read. */
async function connectTo({ authority, joined }: Target): Promise<RawGuest> {
  const before = joined.opened();
  const guest = await openGuest(joined.port);
  guest.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  await eventually(() => joined.opened() > before, "the CONNECT");
  return guest;
}

test.each<[string, Way]>([
  ["a flood that is cut", flood],
  ["resets, and away", resetAndLeave],
  ["heads beyond every limit, and away", unfoldAndLeave],
])(
  "%s: it waits for its turn; when too many wait it is refused; another guest is served at once",
  async (_name, offend) => {
    const target = await startTarget({ timeouts: { afterFloodMs: 60_000, drainMs: 500 } });
    const { records } = target.joined;
    const denials = (): unknown[] => records.map(({ denial }) => denial).filter((denial) => denial !== null);
    const offendedMs = await offendAll(target, offend);
    const offences = denials();

    const waiting = await connectTo(target);
    const leaving = await connectTo(target);
    const last = await connectTo(target);
    const refused = await connectTo(target);
    expect(await refused.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 429 [^]*guest_held_off/);
    const other = new Attacker(await openSecure(target.joined.port, target.authority, ["h2"], "api.test", "127.0.0.2"));
    other.send(headers(1, target.request()));
    await other.answered(1);
    expect(other.body(1)).toBe("ok");
    expect([waiting.text, leaving.text, last.text]).toEqual(["", "", ""]);
    leaving.destroy();
    const aborted = (): number =>
      records.filter(({ kind, outcome }) => kind === "connect" && outcome === "guest_aborted").length;
    expect(await waiting.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200 /);
    // One that left while it waited was refused by nobody, and nothing of it is there until what was its turn.
    expect(aborted()).toBe(1);
    // The turn was counted from the last flood, and no wait is shorter by the clock of the wall than by the edge's.
    expect(performance.now() - offendedMs).toBeGreaterThan(SPACING_MS / 2);
    await target.close();
    expect(target.joined.faults).toEqual([]);
    expect(denials()).toEqual([...offences, "guest_held_off", "draining"]);
    expect(aborted()).toBe(1);
  },
);

test("nobody waits for a turn in an edge that drains", async () => {
  const target = await startTarget({ timeouts: { afterFloodMs: 60_000, drainMs: SPACING_MS / 2 } });
  await offendAll(target, flood);
  const waiting = await connectTo(target);
  await Promise.all([target.joined.drain(), waiting.ended()]);
  // In time to be told: whoever is still there when the drain ends is cut.
  expect(waiting.text).toMatch(/^HTTP\/1\.1 503 [^]*draining/);
  await target.close();
});

test("a client whose requests are too long for HTTP/2 again and again waits for nothing", async () => {
  const target = await startTarget({ timeouts: { afterFloodMs: 60_000 } });
  const cookie: Field = ["cookie", "a".repeat(70_000)];
  for (let i = 0; i < OFFENCES; i++) {
    const guest = await target.attack();
    guest.send(...inFrames(1, block([...target.request(), cookie])));
    await guest.ended();
  }
  const guests = await Promise.all(Array.from({ length: 5 }, () => connectTo(target)));
  for (const guest of guests) expect(await guest.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200 /);
  await target.close();
});

test("a client that has begun more streams than it may before it was told is served", async () => {
  const target = await startTarget({ limits: { http2Streams: 10 } });
  for (let round = 0; round < 4; round++) {
    const session = await beginHttp2(target.joined.port, target.authority);
    const isServed = async (path: string): Promise<boolean> => {
      for (let attempt = 0; attempt < 50 && !session.closed; attempt++) {
        const answer = await ask(session, { ":path": path });
        if (answer.status === 200) return true;
        await sleep(5);
      }
      return false;
    };
    const served = await Promise.all(Array.from({ length: 100 }, (_, i) => isServed(`/${i}`)));
    expect(served).toEqual(served.map(() => true));
    session.destroy();
  }
  expect(target.joined.records.filter(({ denial }) => denial !== null)).toEqual([]);
  await target.close();
});
