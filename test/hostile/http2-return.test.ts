import { expect, test } from "vitest";
import { headers, settings } from "../guest/support/h2-frames.ts";
import { openSecure } from "../guest/support/h2-guest.ts";
import { eventually } from "../line/support/joined.ts";
import { Attacker, startTarget, type Target } from "./support/h2-attacker.ts";
import { openGuest, type RawGuest } from "./raw-guest.ts";

/** A guest that comes back after each flood: it has to wait, longer each time, and nobody else has. */

const OFFENCES = 7;
/** After so many offences. */
const SPACING_MS = 3200;

async function flood(guest: Attacker): Promise<void> {
  const many = Buffer.concat(Array.from({ length: 500 }, () => settings()));
  while (!guest.reader.closed) await new Promise((resolve) => guest.socket.write(many, resolve));
}

function connectTo({ authority, joined }: Target): Promise<RawGuest> {
  return openGuest(joined.port).then((guest) => {
    guest.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    return guest;
  });
}

test("it waits for its turn; who comes when too many wait is refused; another guest is served at once", async () => {
  const target = await startTarget({ timeouts: { afterFloodMs: 60_000, drainMs: 500 } });
  const { records } = target.joined;
  const denials = (): unknown[] => records.map(({ denial }) => denial).filter((denial) => denial !== null);
  // All of them stand before the first offence.
  const guests: Attacker[] = [];
  for (let i = 0; i < OFFENCES; i++) guests.push(await target.attack());
  await Promise.all(guests.map(flood));
  await eventually(() => denials().length === OFFENCES, "the records of the floods");

  const startedMs = performance.now();
  const waiting = await connectTo(target);
  await eventually(() => target.joined.opened() === 2 * OFFENCES + 1, "the CONNECT");
  const leaving = await connectTo(target);
  await eventually(() => target.joined.opened() === 2 * OFFENCES + 2, "the second CONNECT");
  const last = await connectTo(target);
  await eventually(() => target.joined.opened() === 2 * OFFENCES + 3, "the third CONNECT");
  const refused = await connectTo(target);
  expect(await refused.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 429 [^]*guest_held_off/);
  const other = new Attacker(await openSecure(target.joined.port, target.authority, ["h2"], "api.test", "127.0.0.2"));
  other.send(headers(1, target.request()));
  await other.answered(1);
  expect(other.body(1)).toBe("ok");
  expect([waiting.text, leaving.text, last.text]).toEqual(["", "", ""]);
  leaving.destroy();
  expect(await waiting.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200 /);
  // Its turn was counted from the last flood, which was a moment ago when it came.
  expect(performance.now() - startedMs).toBeGreaterThan(SPACING_MS / 2);
  await target.close();
  expect(target.joined.faults).toEqual([]);
  expect(denials()).toEqual([...Array<string>(OFFENCES).fill("http2_violation"), "guest_held_off", "draining"]);
  // One that left while it waited was refused by nobody.
  expect(records.filter(({ outcome }) => outcome === "guest_aborted").map(({ kind }) => kind)).toEqual(["connect"]);
});

test("nobody waits for a turn in an edge that drains", async () => {
  const target = await startTarget({ timeouts: { afterFloodMs: 60_000, drainMs: SPACING_MS / 2 } });
  const guests: Attacker[] = [];
  for (let i = 0; i < OFFENCES; i++) guests.push(await target.attack());
  await Promise.all(guests.map(flood));
  const waiting = await connectTo(target);
  await eventually(() => target.joined.opened() === 2 * OFFENCES + 1, "the CONNECT");
  await Promise.all([target.joined.drain(), waiting.ended()]);
  // In time to be told: whoever is still there when the drain ends is cut.
  expect(waiting.text).toMatch(/^HTTP\/1\.1 503 [^]*draining/);
  await target.close();
});
