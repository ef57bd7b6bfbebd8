import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CredentialEntry } from "../../src/core/credential.ts";
import type { VaultSourceSpec } from "../../src/core/vault.ts";
import type { Minted, Minter } from "../../src/custody/minters/minter.ts";
import { openMinter } from "../../src/custody/minters/open.ts";
import { VaultServers } from "../../src/custody/vault/servers.ts";
import { ManualClock } from "./support/clocks.ts";
import { FakeVault } from "./support/fake-vault.ts";
import type { Maker, TokenTerms } from "./support/fake-vault-store.ts";
import { requestOf } from "./support/permits.ts";
import { secretOf } from "./support/secret-of.ts";
import { appRoleOf, kvEntry, ManualTimers, quiet, serverOf, vaultIssuing } from "./support/vault-bench.ts";

/** Credentials that an engine makes: who shares one, how long it lives, and when it is given back. */

const DATABASE: Maker = {
  make: (nth) => ({ username: `v-edge-${nth}`, password: `pw-${nth}-0f3a9c` }),
  ttlMs: 600_000,
  maxMs: 3_600_000,
  renewable: true,
  hasLease: true,
};

let clock: ManualClock;
let timers: ManualTimers;
let fake: FakeVault;
let vaults: VaultServers;
const warnings: string[] = [];
const minters: Minter[] = [];
beforeEach(async () => {
  clock = new ManualClock();
  timers = new ManualTimers(clock);
  fake = await new FakeVault(clock).listen();
  fake.store.makers.set("database/creds/ro", DATABASE);
  warnings.splice(0);
});
afterEach(async () => {
  await vaults.close();
  for (const minter of minters.splice(0)) minter.close();
  await fake.stop();
  for (const warning of warnings) expect(warning).not.toMatch(/0f3a9c|hvs\./);
});

function minterOf(
  source: Partial<VaultSourceSpec> = {},
  change: Partial<CredentialEntry> = {},
  terms: Partial<TokenTerms> = {},
): Minter {
  const { secretId } = appRoleOf(fake, terms);
  const context = {
    clock,
    environment: { SECRET_ID: secretId },
    uid: process.getuid?.() ?? null,
    warn: (text: string) => void warnings.push(text),
  };
  vaults = new VaultServers({ ...context, random: () => 0.5, timers });
  const spec = { engine: "dynamic", mount: "database", path: "creds/ro", field: null, ...source } as const;
  const entry = kvEntry(serverOf(fake), spec, { kind: "userpass", ttlSeconds: 300, ...change });
  const { minter } = openMinter(entry, { ...context, vaults });
  minters.push(minter);
  return minter;
}

const mint = (minter: Minter, fresh = false, tenant = "acme", id = "s1"): Promise<Minted> => {
  const session = { id, tenant, workspace: "w", subject: "agent" };
  return minter.mint(requestOf({ session }), fresh, new AbortController().signal);
};
const userOf = ({ material }: Minted) => (material.kind === "userpass" ? material.username : null);
const leftS = ({ expiresAtMs }: Minted) => ((expiresAtMs ?? 0) - clock.monotonicMs()) / 1000;

async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 5_000) {
    timers.advance(5_000);
    await quiet(fake);
  }
}

describe("one for each lease", () => {
  test("is made anew for each, lives as its lease does, and is revoked when it is given back", async () => {
    const minter = minterOf();
    const [first, second] = [await mint(minter), await mint(minter)];
    expect([userOf(first), userOf(second)]).toEqual(["v-edge-1", "v-edge-2"]);
    expect(leftS(first)).toBe(600);
    const [id] = fake.store.leases.keys();
    await first.release?.();
    await quiet(fake);
    expect(fake.store.revoked).toEqual([id]);
    expect(fake.store.leases.size).toBe(1);
    await first.release?.();
    await quiet(fake);
    expect(fake.store.revoked).toHaveLength(1);
  });

  test("is revoked when its lease is released, and when it runs out", async () => {
    const { secretId } = appRoleOf(fake);
    const spec = { engine: "dynamic", mount: "database", path: "creds/ro", field: null } as const;
    const entry = kvEntry(serverOf(fake), spec, { kind: "userpass", ttlSeconds: 60 });
    const made = vaultIssuing([entry], { SECRET_ID: secretId }, { clock, timers });
    vaults = made.vaults;
    const caller = { name: "edge", tenants: null };
    const issue = () => made.issuer.issue(caller, requestOf(), new AbortController().signal);
    const first = await issue();
    await issue();
    await made.issuer.release(caller, { leaseId: first.leaseId, session: "s1", tenant: "acme" });
    await quiet(fake);
    expect([fake.store.revoked.length, fake.store.leases.size]).toEqual([1, 1]);
    clock.advance(61_000);
    made.issuer.ledger.tick();
    await quiet(fake);
    expect([fake.store.revoked.length, fake.store.leases.size]).toEqual([2, 0]);
    made.issuer.close();
  });

  test("is revoked once its lease must be over, also when nobody says so", async () => {
    fake.store.makers.set("database/creds/ro", { ...DATABASE, ttlMs: 3_600_000 });
    await mint(minterOf());
    // Renewals of the lease included.
    await pass(895_000);
    expect(fake.store.revoked).toEqual([]);
    await pass(15_000);
    expect(fake.store.revoked).toHaveLength(1);
    expect(fake.store.leases.size).toBe(0);
  });

  test("counts its life from the request, and has none beyond that of custody's token", async () => {
    const minter = minterOf({}, {}, { ttlMs: 400_000 });
    await mint(minter);
    fake.misbehave = ({ path }) => {
      if (path.startsWith("database/")) clock.advance(30_000);
      return false;
    };
    expect(leftS(await mint(minter))).toBe(370);
    fake.store.makers.set("database/creds/ro", { ...DATABASE, ttlMs: 100_000 });
    expect(leftS(await mint(minter))).toBe(70);
  });

  test("that nobody waits for any more, or that cannot be read, is revoked", async () => {
    const minter = minterOf();
    const gone = new AbortController();
    const late = minter.mint(requestOf(), false, gone.signal);
    gone.abort();
    await expect(late).rejects.toThrow(/nobody waited/);
    await quiet(fake);
    expect(fake.store.revoked).toHaveLength(1);
    fake.store.makers.set("database/creds/ro", { ...DATABASE, make: () => ({ username: "v-edge" }) });
    await expect(mint(minter)).rejects.toThrow(/has no field "password"/);
    await quiet(fake);
    expect(fake.store.revoked).toHaveLength(2);
    expect(fake.store.leases.size).toBe(0);
  });

  test("is revoked later when the server cannot be asked now", async () => {
    const minted = await mint(minterOf());
    fake.sealed = true;
    await minted.release?.();
    await quiet(fake);
    expect(fake.store.leases.size).toBe(1);
    fake.sealed = false;
    await pass(10_000);
    expect(fake.store.leases.size).toBe(0);
  });

  test("that no policy lets custody revoke is told once, and left to its own end", async () => {
    const minter = minterOf();
    fake.store.policies.set("reader", { "database/*": ["read"] });
    for (const minted of [await mint(minter), await mint(minter)]) await minted.release?.();
    await quiet(fake);
    expect(warnings).toEqual([expect.stringMatching(/give a policy of custody's role update on sys\/leases\/revoke/)]);
  });

  test("keeps the token that it was made with alive: that is revoked when the last such lease is over", async () => {
    const minter = minterOf({}, {}, { ttlMs: 100_000, maxMs: 400_000 });
    const first = await mint(minter);
    const [old = ""] = fake.store.tokens.keys();
    await pass(290_000);
    const last = await mint(minter);
    while (fake.count(/login/) < 2) await pass(5_000);
    // Another token is there, and the one before lives on for its lease.
    expect([fake.store.tokens.size, fake.store.tokens.has(old), fake.store.leases.size]).toEqual([2, true, 2]);
    await first.release?.();
    await pass(15_000);
    expect([fake.store.tokens.has(old), fake.store.leases.size]).toEqual([true, 1]);
    await last.release?.();
    await quiet(fake);
    expect([fake.store.tokens.has(old), fake.store.tokens.size]).toEqual([false, 1]);
    expect(fake.count(/revoke-self/)).toBe(1);
  });

  test("an unknown role is told by name", async () => {
    await expect(mint(minterOf({ path: "creds/none" }))).rejects.toThrow(/there is nothing at database\/creds\/none/);
  });
});

describe("one for the leases of a tenant", () => {
  test("is made once for those who come at once, and not shared with another tenant", async () => {
    const minter = minterOf({ sharedBy: "tenant" });
    const minted = await Promise.all([mint(minter), mint(minter), mint(minter, false, "globex"), mint(minter)]);
    expect(minted.map(userOf)).toEqual(["v-edge-1", "v-edge-1", expect.stringMatching(/-2$/), "v-edge-1"]);
    expect([await mint(minter), await mint(minter, false, "globex")].map(userOf)).toEqual([
      userOf(minted[0] as Minted),
      userOf(minted[2] as Minted),
    ]);
    const [first, second] = minted;
    // Each has a copy of its own.
    if (first !== undefined) secretOf(first.material).zero();
    expect(second === undefined ? "" : secretOf(second.material).reveal()).toBe("pw-1-0f3a9c");
  });

  test("is renewed while it can be, then replaced, and revoked when its last lease is over", async () => {
    fake.store.makers.set("database/creds/ro", { ...DATABASE, ttlMs: 60_000, maxMs: 200_000 });
    const minter = minterOf({ sharedBy: "tenant" });
    const first = await mint(minter);
    await pass(100_000);
    expect(fake.count(/leases\/renew/)).toBeGreaterThanOrEqual(2);
    const later = await mint(minter);
    expect(userOf(later)).toBe("v-edge-1");
    await pass(80_000);
    const next = await mint(minter);
    expect(userOf(next)).toBe("v-edge-2");
    await first.release?.();
    expect(fake.store.revoked).toEqual([]);
    await later.release?.();
    await quiet(fake);
    expect(fake.store.revoked).toHaveLength(1);
    expect(fake.store.leases.size).toBe(1);
  });

  test("that the upstream has refused is replaced, and revoked when those who use it are done", async () => {
    const minter = minterOf({ sharedBy: "tenant" });
    const first = await mint(minter);
    const again = await mint(minter, true);
    expect(userOf(again)).toBe("v-edge-2");
    expect(fake.store.revoked).toEqual([]);
    await first.release?.();
    await quiet(fake);
    expect(fake.store.revoked).toHaveLength(1);
    expect(userOf(await mint(minter))).toBe("v-edge-2");
  });

  test("that is refused to many sessions is replaced once", async () => {
    const minter = minterOf({ sharedBy: "tenant" });
    const sessions = ["s1", "s2", "s3"];
    const given = (fresh: boolean) => Promise.all(sessions.map((id) => mint(minter, fresh, "acme", id)));
    expect((await given(false)).map(userOf)).toEqual(["v-edge-1", "v-edge-1", "v-edge-1"]);
    expect(userOf(await mint(minter, true, "acme", "s1"))).toBe("v-edge-2");
    expect(userOf(await mint(minter, true, "acme", "s2"))).toBe("v-edge-2");
    expect((await given(true)).map(userOf)).toEqual(["v-edge-3", "v-edge-3", "v-edge-2"]);
    expect(fake.count(/database/)).toBe(3);
  });

  test("that the server has ended is replaced at its renewal", async () => {
    fake.store.makers.set("database/creds/ro", { ...DATABASE, ttlMs: 60_000 });
    const minter = minterOf({ sharedBy: "tenant" });
    await mint(minter);
    fake.store.leases.clear();
    await pass(50_000);
    expect(userOf(await mint(minter))).toBe("v-edge-2");
  });
});

describe("engines", () => {
  test("AWS: keys with their session token, which nobody renews", async () => {
    const keys = {
      access_key: "ASIAEXAMPLE",
      secret_key: "wJalr-0f3a9c",
      security_token: "session-0f3a9c",
      arn: "arn",
    };
    fake.store.makers.set("database/creds/ro", { ...DATABASE, make: () => keys, renewable: false });
    const { material } = await mint(minterOf({}, { kind: "aws" }));
    if (material.kind !== "aws") throw new Error("it is of the kind that was asked for");
    expect(material.accessKeyId).toBe("ASIAEXAMPLE");
    expect(material.sessionToken?.reveal()).toBe("session-0f3a9c");
  });

  test("GCP: a token without a lease lives as long as it says, and there is nothing to revoke", async () => {
    const make = () => ({ token: "ya29-0f3a9c", token_ttl: 120, expires_at_seconds: 1 });
    fake.store.makers.set("database/creds/ro", { ...DATABASE, make, hasLease: false });
    const minted = await mint(minterOf({ field: "token" }, { kind: "token" }));
    expect(leftS(minted)).toBe(120);
    await minted.release?.();
    await quiet(fake);
    expect(fake.count(/leases/)).toBe(0);
  });

  test("what tells no life is not leased", async () => {
    fake.store.makers.set("database/creds/ro", { ...DATABASE, hasLease: false });
    await expect(mint(minterOf())).rejects.toThrow(/does not follow its API at "token_ttl"/);
  });
});

describe("the end", () => {
  test("an entry that is gone leaves its credentials to those who use them; then custody logs out", async () => {
    const minter = minterOf();
    const minted = await mint(minter);
    minter.close();
    await quiet(fake);
    expect(fake.store.tokens.size).toBe(1);
    await minted.release?.();
    await expect.poll(() => fake.store.tokens.size).toBe(0);
    expect(fake.store.revoked).toHaveLength(1);
  });

  test("of custody is the end of its token and of every lease", async () => {
    const minter = minterOf({ sharedBy: "tenant" });
    await mint(minter);
    await mint(minter, false, "globex");
    await vaults.close();
    expect([fake.store.tokens.size, fake.store.leases.size]).toEqual([0, 0]);
    await expect(mint(minter)).rejects.toThrow(/closing it|closed it/);
  });
});
