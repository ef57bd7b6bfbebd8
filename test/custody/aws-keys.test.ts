import { describe, expect, test } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import { isZeroed, type Material } from "../../src/core/material.ts";
import { awsKeys } from "../../src/custody/minters/aws-keys.ts";
import { openMinter } from "../../src/custody/minters/open.ts";
import type { SourceReading } from "../../src/custody/sources/source.ts";
import { ManualClock } from "./support/clocks.ts";
import { entryOf } from "./support/issuing.ts";

/** AWS keys from what a source yields: one text, or a JSON object in the spelling of whoever wrote it. */

const clock = { monotonicMs: () => 1000, wallMs: () => Date.parse("2030-01-01T00:00:00Z") };
const SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

const reading = (text: string, expiresAtMs: number | null = null): SourceReading => ({
  username: null,
  secret: Secret.of(text),
  expiresAtMs,
});

function plain(material: Material): Record<string, unknown> {
  if (material.kind !== "aws") throw new Error(`not AWS keys: ${material.kind}`);
  const { accessKeyId, secretAccessKey, sessionToken } = material;
  return { id: accessKeyId, secret: secretAccessKey.reveal(), token: sessionToken?.reveal() ?? null };
}

describe("a secret access key alone", () => {
  test("goes with the key id of the entry, whatever it looks like", () => {
    const root = reading(SECRET, 5000);
    const { material, expiresAtMs, release } = awsKeys("aws", "AKIDEXAMPLE", root, clock);
    expect(plain(material)).toEqual({ id: "AKIDEXAMPLE", secret: SECRET, token: null });
    expect([expiresAtMs, release]).toEqual([5000, null]);
    // It is the reading's own: whoever zeroes the material zeroes the root.
    expect(root.secret.isZeroed).toBe(false);
    expect(plain(awsKeys("aws", "AKIDEXAMPLE", reading('{"AccessKeyId":"x"}'), clock).material)["secret"]).toBe(
      '{"AccessKeyId":"x"}',
    );
  });
});

describe("an object", () => {
  test.each([
    [
      "of a credential process",
      {
        Version: 1,
        AccessKeyId: "ASIA1",
        SecretAccessKey: SECRET,
        SessionToken: "token",
        Expiration: "2030-01-01T00:00:00Z",
      },
      "token",
    ],
    ["in this config's words", { access_key_id: "ASIA1", secret_access_key: SECRET, session_token: "token" }, "token"],
    ["of a secrets engine", { access_key: "ASIA1", secret_key: SECRET, security_token: "token" }, "token"],
    ["of a secrets engine, lasting", { access_key: "ASIA1", secret_key: SECRET, security_token: null }, null],
    ["without a token", { access_key_id: "ASIA1", secret_access_key: SECRET }, null],
    ["with an empty token", { access_key_id: "ASIA1", secret_access_key: SECRET, session_token: "" }, null],
  ])("%s", (_, json, token) => {
    const root = reading(JSON.stringify(json));
    expect(plain(awsKeys("aws", null, root, clock).material)).toEqual({ id: "ASIA1", secret: SECRET, token });
    expect(root.secret.isZeroed).toBe(true);
  });

  test.each([
    ["no object", SECRET],
    ["a list", `["${SECRET}"]`],
    ["null", "null"],
    ["no secret", '{"access_key_id":"ASIA1"}'],
    ["no key id", `{"secret_access_key":"${SECRET}"}`],
    ["a secret that is no text", '{"access_key_id":"ASIA1","secret_access_key":42}'],
    ["an inherited name", '{"__proto__":{"access_key_id":"ASIA1","secret_access_key":"x"}}'],
    ["cut off", `{"access_key_id":"ASIA1","secret_access_key":"${SECRET}`],
  ])("refused, without a word of it: %s", (_, text) => {
    const failed = (): unknown => awsKeys("artifacts", null, reading(text), clock);
    expect(failed).toThrow(
      'credential "artifacts": the source yields no AWS keys: let it yield {"access_key_id": "...", "secret_access_key": "..."}, or write "key_id:" into its entry',
    );
    expect(failed).not.toThrow(SECRET);
  });
});

describe("keys that say when they end", () => {
  const until = (expiration: unknown, sourceMs: number | null = null): number | null =>
    awsKeys(
      "aws",
      null,
      reading(JSON.stringify({ AccessKeyId: "A", SecretAccessKey: SECRET, Expiration: expiration }), sourceMs),
      clock,
    ).expiresAtMs;

  test.each<[string, unknown, number | null, number | null]>([
    ["in UTC", "2030-01-01T00:10:00Z", null, 601_000],
    ["in another zone", "2030-01-01T01:10:00+01:00", null, 601_000],
    ["to the millisecond", "2030-01-01T00:00:00.500Z", null, 1500],
    ["in the past", "2029-12-31T23:59:00Z", null, -59_000],
    ["later than the source says", "2030-01-01T00:10:00Z", 5000, 5000],
    ["sooner than the source says", "2030-01-01T00:00:01Z", 5000, 2000],
    ["not at all", null, null, null],
    ["not at all, but the source does", "", 5000, 5000],
  ])("%s", (_, expiration, sourceMs, endMs) => {
    expect(until(expiration, sourceMs)).toBe(endMs);
  });

  test.each(["tomorrow", "2030-01-01", "2030-01-01T00:00:00", "2030-99-01T00:00:00Z"])("refused: %s", (expiration) => {
    expect(() => until(expiration)).toThrow('the AWS keys end at no time: let "Expiration" be such as');
  });
});

test("through the minter of an entry: a root that is none of these is zeroed as well", async () => {
  const environment: Record<string, string> = {
    ROOT: JSON.stringify({ AccessKeyId: "ASIA1", SecretAccessKey: SECRET }),
  };
  const context = { clock: new ManualClock(), environment, uid: null, warn: () => undefined };
  const { minter } = openMinter(entryOf({ kind: "aws" }), context);
  const ask = { tenant: "t", session: "s", host: "api.example.com", port: 443, credential: "key" } as never;
  const { material } = await minter.mint(ask, false, new AbortController().signal);
  expect(plain(material)).toEqual({ id: "ASIA1", secret: SECRET, token: null });
  expect(isZeroed(material)).toBe(false);
  environment["ROOT"] = "none";
  await expect(minter.mint(ask, false, new AbortController().signal)).rejects.toThrow("the source yields no AWS keys");
  minter.close();
});
