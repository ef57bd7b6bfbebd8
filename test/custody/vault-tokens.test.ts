import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { backoffMs, Renewal } from "../../src/custody/vault/renewal.ts";
import { ManualClock } from "./support/clocks.ts";
import { FakeVault } from "./support/fake-vault.ts";
import type { TokenTerms } from "./support/fake-vault-store.ts";
import { requestOf } from "./support/permits.ts";
import {
  appRoleOf,
  kvEntry,
  ManualTimers,
  quiet,
  serverOf,
  type VaultBench,
  vaultIssuing,
} from "./support/vault-bench.ts";

/** The life of custody's own token: when it is renewed, when it is replaced, and what a renewal that fails does. */

describe("Renewal", () => {
  const life = fc.integer({ min: 1_000, max: 2_764_800_000 });
  const chance = fc.double({ min: 0, max: 0.999_999, noNaN: true });

  test("a life that has just begun is renewed after two thirds and up to a fifteenth", () => {
    fc.assert(
      fc.property(life, chance, (leftMs, drawn) => {
        const waitMs = new Renewal(() => drawn).next(leftMs);
        if (waitMs === null) return false;
        return waitMs / leftMs > 0.69 && waitMs / leftMs < 0.74;
      }),
    );
  });

  test("a life that shrinks comes to its end, always before it is over", () => {
    fc.assert(
      fc.property(life, chance, (wholeMs, drawn) => {
        const renewal = new Renewal(() => drawn);
        let leftMs = wholeMs;
        for (let i = 0; i < 10; i++) {
          const waitMs = renewal.next(leftMs);
          if (waitMs === null) return leftMs > wholeMs * 0.05;
          leftMs -= waitMs;
        }
        return false;
      }),
    );
  });

  test("a period that comes back whole is renewed for ever", () => {
    const renewal = new Renewal(() => 0.5);
    for (let i = 0; i < 100; i++) expect(renewal.next(60_000)).toBe(43_000);
  });
});

test("waits after failures grow up to a bound, and half of each is chance", () => {
  expect([1, 2, 3, 9].map((n) => backoffMs(n, 500, 10_000, () => 1))).toEqual([500, 1_000, 2_000, 10_000]);
  expect(backoffMs(1, 500, 10_000, () => 0)).toBe(250);
});

describe("a token", () => {
  let clock: ManualClock;
  let timers: ManualTimers;
  let fake: FakeVault;
  let made: VaultBench;
  beforeEach(async () => {
    clock = new ManualClock();
    timers = new ManualTimers(clock);
    fake = await new FakeVault(clock).listen();
    fake.store.write("kv/apps/openai", { api_key: "sk-1" });
  });
  afterEach(async () => {
    await made.vaults.close();
    made.issuer.close();
    await fake.stop();
  });

  const lease = () =>
    made.issuer.issue({ name: "t", tenants: null }, requestOf({ purpose: "rejected" }), new AbortController().signal);

  async function begun(terms: Partial<TokenTerms>): Promise<void> {
    const { secretId } = appRoleOf(fake, terms);
    made = vaultIssuing([kvEntry(serverOf(fake))], { SECRET_ID: secretId }, { clock, timers });
    await lease();
  }

  /** Lets `ms` pass in steps of five seconds, and what is asked meanwhile be answered. */
  async function pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 5_000) {
      timers.advance(5_000);
      await quiet(fake);
    }
  }

  test("with a period lives on by renewals alone", async () => {
    await begun({ ttlMs: 60_000, periodMs: 60_000 });
    await pass(600_000);
    expect(fake.count(/login/)).toBe(1);
    // Every 43 s: 2/3 of it and a third of the grace.
    expect(fake.count(/renew-self/)).toBeGreaterThanOrEqual(12);
    expect(fake.count(/renew-self/)).toBeLessThanOrEqual(14);
    await lease();
  });

  test("is replaced ahead of its longest life, and revoked once another one is there", async () => {
    await begun({ ttlMs: 60_000, maxMs: 150_000 });
    const [first] = fake.store.tokens.keys();
    await pass(300_000);
    expect(fake.count(/login/)).toBeGreaterThanOrEqual(3);
    expect(fake.store.tokens.has(first ?? "")).toBe(false);
    expect(fake.store.tokens.size).toBe(1);
    // Every lease found one that was alive.
    await lease();
    expect(fake.count(/lookup-self/)).toBe(0);
  });

  test("that cannot be renewed is replaced in its grace, and a batch token is not revoked", async () => {
    await begun({ ttlMs: 60_000, type: "batch" });
    await pass(120_000);
    expect(fake.count(/renew-self|revoke-self/)).toBe(0);
    expect(fake.count(/login/)).toBeGreaterThanOrEqual(2);
    await lease();
  });

  test("whose renewal fails lives to its end, and is replaced when the server is back", async () => {
    await begun({ ttlMs: 60_000 });
    await fake.stop();
    await pass(50_000);
    expect(made.vaults.problem).toMatch(/cannot be reached \(ECONNREFUSED\)/);
    await pass(30_000);
    await expect(lease()).rejects.toMatchObject({ reason: "source_unavailable" });
    await fake.listen();
    await pass(30_000);
    expect(made.vaults.problem).toBeNull();
    await lease();
  });

  test("that is found revoked when it is to be renewed is replaced at once", async () => {
    await begun({ ttlMs: 60_000 });
    for (const id of fake.store.tokens.keys()) fake.store.revokeToken(id);
    await pass(50_000);
    expect(fake.count(/login/)).toBe(2);
    await lease();
  });

  test("is never used past its end, whatever the timers do", async () => {
    await begun({ ttlMs: 60_000 });
    fake.sealed = true;
    clock.advance(60_000);
    await expect(lease()).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(fake.count(/GET kv/)).toBe(1);
  });
});
