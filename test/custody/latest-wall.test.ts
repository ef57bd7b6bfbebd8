import { generateKeyPairSync } from "node:crypto";
import { SignJWT } from "jose";
import { describe, expect, test } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import { latestWallMs } from "../../src/custody/latest-wall.ts";
import { awsKeys } from "../../src/custody/minters/aws-keys.ts";
import { dpopToken } from "../../src/custody/minters/dpop-token.ts";
import { endOfWallTime } from "../../src/custody/minters/life.ts";
import { readHelperAnswer } from "../../src/custody/sources/helper-answer.ts";
import type { SourceReading } from "../../src/custody/sources/source.ts";
import { ManualClock } from "./support/clocks.ts";
import { entryOf, issuing } from "./support/issuing.ts";
import { leaseOf } from "./support/minting.ts";

/** What ends at a time of day, read after somebody has set the clock back: it ends when it would have, not an hour later. */

const LIFE_MS = 600_000;
const HOUR_MS = 3_600_000;
const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;

const reading = (root: object): SourceReading => ({
  username: null,
  secret: Secret.of(JSON.stringify(root)),
  expiresAtMs: null,
});

/** Monotonic ms at which what says that it ends at `endMs` is taken to end. */
const ENDS: Readonly<Record<string, (endMs: number, clock: ManualClock) => Promise<number | null> | number | null>> = {
  "a helper's credential": (endMs, clock) =>
    readHelperAnswer(JSON.stringify({ token: "t", expires_at: endMs / 1000 }), "token", "helper", clock).expiresAtMs,
  "AWS keys": (endMs, clock) => {
    const root = { access_key_id: "i", secret_access_key: "s", expiration: new Date(endMs).toISOString() };
    return awsKeys("key", null, reading(root), clock).expiresAtMs;
  },
  "a bound token": async (endMs, clock) => {
    const token = await new SignJWT({ exp: endMs / 1000 }).setProtectedHeader({ alg: "ES256" }).sign(key);
    const root = { token, private_key: key.export({ type: "pkcs8", format: "pem" }) };
    return dpopToken("key", reading(root), clock).expiresAtMs;
  },
  "what an issuer gave that tells no time itself": (endMs, clock) =>
    endOfWallTime(endMs, { serverWallMs: null }, clock, clock.monotonicMs(), HOUR_MS),
};

describe.each(Object.entries(ENDS))("%s", (_what, endOf) => {
  test("does not end later after the clock was set back", async () => {
    const clock = new ManualClock();
    const endMs = clock.wallMs() + LIFE_MS;
    const wanted = await endOf(endMs, clock);
    expect(wanted).toBe(clock.monotonicMs() + LIFE_MS);
    clock.advance(60_000);
    clock.setWall(-HOUR_MS);
    expect(await endOf(endMs, clock)).toBe(wanted);
  });

  test("ends sooner after the clock was set forward, and goes on to do so when it is set back again", async () => {
    const clock = new ManualClock();
    const endMs = clock.wallMs() + LIFE_MS;
    clock.setWall(300_000);
    const sooner = await endOf(endMs, clock);
    expect(sooner).toBe(clock.monotonicMs() + LIFE_MS - 300_000);
    clock.setWall(-300_000);
    expect(await endOf(endMs, clock)).toBe(sooner);
  });
});

test("each clock is held to what it said itself", () => {
  const [one, other] = [new ManualClock(), new ManualClock()];
  one.setWall(HOUR_MS);
  expect(latestWallMs(one)).toBe(one.wallMs());
  expect(latestWallMs(other)).toBe(other.wallMs());
});

test("custody remembers from its start on, and with each lease, what the clock said", async () => {
  const clock = new ManualClock();
  const endMs = clock.wallMs() + LIFE_MS;
  const said = JSON.stringify({ token: "t", expires_at: endMs / 1000 });
  const command = [process.execPath, "-e", `process.stdout.write(${JSON.stringify(said)})`];
  const entries = [entryOf({ source: { from: "exec", command, timeoutMs: 20_000 } }), entryOf({ name: "other" })];
  const parts = issuing({ clock, entries, environment: { ...process.env, ROOT: "root" } });
  clock.setWall(-HOUR_MS);
  expect((await leaseOf(parts)).ttlMs).toBe(LIFE_MS);
  // Half of its life, after which the helper is asked anew.
  clock.advance(LIFE_MS / 2);
  clock.setWall(HOUR_MS + 100_000);
  await leaseOf(parts, { credential: "other" });
  clock.setWall(-HOUR_MS);
  expect((await leaseOf(parts)).ttlMs).toBe(LIFE_MS / 2 - 100_000);
});
