import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CredentialEntry } from "../../src/core/credential.ts";
import { LeaseRefusal } from "../../src/core/custody.ts";
import type { VaultLogin } from "../../src/core/vault.ts";
import { ManualClock } from "./support/clocks.ts";
import { FakeVault } from "./support/fake-vault.ts";
import { requestOf } from "./support/permits.ts";
import { secretOf } from "./support/secret-of.ts";
import {
  appRoleOf,
  approleLogin,
  kvEntry,
  ManualTimers,
  serverOf,
  type VaultBench,
  vaultIssuing,
} from "./support/vault-bench.ts";

/** Leases whose root is in a Vault: logins, key-value engines, what each refusal says, and what is kept. */

const SECRET = "sk-vault-root-0f3a9c";

let clock: ManualClock;
let timers: ManualTimers;
let fake: FakeVault;
let directory: string;
const benches: VaultBench[] = [];
beforeEach(async () => {
  clock = new ManualClock();
  timers = new ManualTimers(clock);
  fake = await new FakeVault(clock).listen();
  fake.store.write("kv/apps/openai", { api_key: SECRET, number: 7 });
  directory = await mkdtemp(join(tmpdir(), "postern-vault-"));
});
afterEach(async () => {
  for (const { vaults, issuer, told, warnings, audit } of benches.splice(0)) {
    await vaults.close();
    issuer.close();
    const written = [...told, ...warnings, JSON.stringify(audit.events)].join("\n");
    const tokens = [...fake.store.tokens.keys(), ...fake.store.wraps.keys(), SECRET];
    for (const secret of tokens) expect(written).not.toContain(secret);
  }
  await fake.stop();
  await rm(directory, { recursive: true, force: true });
});

function bench(entries: readonly CredentialEntry[], environment: Record<string, string | undefined> = {}): VaultBench {
  const made = vaultIssuing(entries, environment, { clock, timers });
  benches.push(made);
  return made;
}

function approleBench(
  source: Parameters<typeof kvEntry>[1] = {},
  change: Parameters<typeof kvEntry>[2] = {},
): VaultBench {
  const { secretId } = appRoleOf(fake);
  return bench([kvEntry(serverOf(fake), source, change)], { SECRET_ID: secretId });
}

const lease = ({ issuer }: VaultBench, change: Parameters<typeof requestOf>[0] = {}) =>
  issuer.issue({ name: "test", tenants: null }, requestOf(change), new AbortController().signal);

/** What the operator is told of a lease that is refused. */
async function refusalOf(made: VaultBench): Promise<string> {
  const refusal = await lease(made).then(
    () => null,
    (error: unknown) => error,
  );
  expect(refusal).toBeInstanceOf(LeaseRefusal);
  return (refusal as LeaseRefusal).detail ?? "";
}

describe("logins", () => {
  const server = (login: VaultLogin) => serverOf(fake, { login, namespace: "team/a" });

  test("AppRole: one login for everything that is asked at once, and every request says that it is meant", async () => {
    const { secretId } = appRoleOf(fake);
    const made = bench([kvEntry(server(approleLogin()))], { SECRET_ID: secretId });
    const grants = await Promise.all([lease(made), lease(made), lease(made)]);
    expect(grants.map(({ material }) => secretOf(material).reveal())).toEqual([SECRET, SECRET, SECRET]);
    expect(fake.count(/login/)).toBe(1);
    for (const { headers, path } of fake.asked) {
      expect(headers).toMatchObject({ "x-vault-request": "true", "x-vault-namespace": "team/a/" });
      expect("x-vault-token" in headers).toBe(!path.endsWith("/login"));
    }
  });

  test("Kubernetes: the token file is read anew for every login, also where everybody may read it", async () => {
    const file = join(directory, "token");
    fake.store.policies.set("reader", { "kv/*": ["read"] });
    const role = { terms: { policies: ["reader"], ttlMs: 600_000 }, accepts: new Set(["first"]) };
    fake.store.jwtRoles.set("k8s/east/custody", role);
    await writeFile(file, "first");
    await chmod(file, 0o644);
    const login: VaultLogin = {
      by: "kubernetes",
      mount: "k8s/east",
      role: "custody",
      token: { from: "file", path: file },
    };
    const made = bench([kvEntry(server(login))]);
    await lease(made);
    await writeFile(file, "second");
    role.accepts.clear();
    role.accepts.add("second");
    // Past the end of its token, for which no timer has rung: the lease itself logs in.
    clock.advance(700_000);
    await lease(made);
    expect(fake.asked.filter(({ path }) => path.endsWith("login")).map(({ body }) => body["jwt"])).toEqual([
      "first",
      "second",
    ]);
  });

  test("JWT: an unknown role and a refused token are told by name", async () => {
    fake.store.jwtRoles.set("jwt/custody", { terms: { policies: [], ttlMs: 600_000 }, accepts: new Set() });
    const login = (role: string): VaultLogin => ({
      by: "jwt",
      mount: "jwt",
      role,
      token: { from: "env", variable: "JWT" },
    });
    const unknown = bench([kvEntry(server(login("nobody")))], { JWT: SECRET });
    expect(await refusalOf(unknown)).toMatch(/refuses the login at auth\/jwt .*no role of this name/);
    const refused = bench([kvEntry(server(login("custody")))], { JWT: SECRET });
    expect(await refusalOf(refused)).toMatch(/status 403\): its proof is not accepted/);
  });

  test.each([
    ["a limited use", { uses: 3 }, /may be used 2 times|may be used 3 times/],
    ["no end", { ttlMs: 0 }, /never expires/],
    ["the policy root", { policies: ["root"] }, /policy root/],
  ])("a token with %s is refused at the start and given back", async (_what, terms, text) => {
    const { secretId } = appRoleOf(fake, terms);
    const made = bench([kvEntry(serverOf(fake))], { SECRET_ID: secretId });
    await expect.poll(() => made.vaults.problem).toMatch(text);
    expect(made.told).toHaveLength(1);
    expect(await refusalOf(made)).toMatch(text);
    await expect.poll(() => fake.store.tokens.size).toBe(0);
  });

  test("a token that was given: a root one is refused, a live one is used and not revoked", async () => {
    appRoleOf(fake);
    const root = fake.store.issue({ policies: ["root"], ttlMs: 0 });
    const good = fake.store.issue({ policies: ["reader"], ttlMs: 600_000 });
    const login: VaultLogin = { by: "token", isSink: false, token: { from: "env", variable: "TOKEN" } };
    expect(await refusalOf(bench([kvEntry(serverOf(fake, { login }))], { TOKEN: root.id }))).toMatch(/policy root/);
    const made = bench([kvEntry(serverOf(fake, { login }))], { TOKEN: good.id });
    await lease(made);
    await made.vaults.close();
    expect(fake.store.tokens.has(good.id)).toBe(true);
  });

  test("an agent's sink is read anew when its token has been replaced", async () => {
    appRoleOf(fake);
    const file = join(directory, "sink");
    const login: VaultLogin = { by: "token", isSink: true, token: { from: "file", path: file } };
    const first = fake.store.issue({ policies: ["reader"], ttlMs: 600_000 });
    await writeFile(file, first.id, { mode: 0o640 });
    const made = bench([kvEntry(serverOf(fake, { login }))]);
    await lease(made);
    fake.store.revokeToken(first.id);
    await writeFile(file, fake.store.issue({ policies: ["reader"], ttlMs: 600_000 }).id);
    clock.advance(6_000);
    await lease(made);
    expect(fake.count(/renew-self|revoke-self/)).toBe(0);
  });

  test("a failing login is not repeated for every lease, and found again by itself", async () => {
    const { role } = appRoleOf(fake);
    const environment: Record<string, string> = { SECRET_ID: "wrong" };
    const made = bench([kvEntry(serverOf(fake))], environment);
    for (let i = 0; i < 5; i++) expect(await refusalOf(made)).toMatch(/issue a new secret id/);
    expect(fake.count(/login/)).toBe(1);
    environment["SECRET_ID"] = fake.store.newSecretId(role);
    timers.advance(60_000);
    await expect.poll(() => made.vaults.problem).toBeNull();
    await lease(made);
  });

  test("over the socket of an agent or a proxy", async () => {
    const path = join(directory, "agent.sock");
    const agent = await new FakeVault(clock).listen(path);
    try {
      agent.store.write("kv/apps/openai", { api_key: SECRET });
      const { secretId } = appRoleOf(agent);
      const made = bench([kvEntry(serverOf(agent, { address: { kind: "unix", path } }))], { SECRET_ID: secretId });
      expect(secretOf((await lease(made)).material).reveal()).toBe(SECRET);
      await made.vaults.close();
    } finally {
      await agent.stop();
    }
  });

  test("what custody logged in for is revoked when it ends", async () => {
    const made = approleBench();
    await lease(made);
    expect(fake.store.tokens.size).toBe(1);
    await made.vaults.close();
    expect(fake.store.tokens.size).toBe(0);
  });
});

describe("a wrapped secret id", () => {
  const wrapped = (fromPath: string): { made: VaultBench; wrap: string; environment: Record<string, string> } => {
    const { secretId } = appRoleOf(fake, { ttlMs: 60_000, maxMs: 60_000 });
    const wrap = fake.store.wrap(fromPath, 300_000, { secret_id: secretId, secret_id_accessor: "a" });
    const environment = { SECRET_ID: wrap };
    const login = approleLogin({ isWrapped: true });
    return { made: bench([kvEntry(serverOf(fake, { login }))], environment), wrap, environment };
  };

  test("is looked at, unwrapped once, and then held for later logins", async () => {
    const { made } = wrapped("auth/approle/role/edge/secret-id");
    await lease(made);
    clock.advance(70_000);
    await lease(made);
    expect(fake.count(/login/)).toBe(2);
    expect(fake.count(/wrapping\/lookup/)).toBe(1);
    const [unwrap, ...more] = fake.asked.filter(({ path }) => path === "sys/wrapping/unwrap");
    expect(more).toEqual([]);
    // Never in header and body at once.
    expect(unwrap?.body).toEqual({});
  });

  test("that somebody else has unwrapped is a security event, and is not tried as anything else", async () => {
    const { secretId } = appRoleOf(fake);
    const wrap = fake.store.wrap("auth/approle/role/edge/secret-id", 300_000, { secret_id: secretId });
    fake.store.wraps.delete(wrap);
    const made = bench([kvEntry(serverOf(fake, { login: approleLogin({ isWrapped: true }) }))], { SECRET_ID: wrap });
    expect(await refusalOf(made)).toMatch(/: security event: the wrapping token .* is not valid any more/);
    expect(made.told).toEqual([expect.stringMatching(/^security event/)]);
    expect(made.vaults.problem).toMatch(/^security event/);
    expect(fake.count(/login/)).toBe(0);
  });

  test.each([
    "sys/wrapping/wrap",
    "auth/approle/role/edge/custom-secret-id",
    "auth/other/role/edge/secret-id",
    "auth/approle/role/a/b/secret-id",
  ])("that was made at %s is left wrapped", async (path) => {
    const { made, wrap } = wrapped(path);
    expect(await refusalOf(made)).toMatch(
      /: security event: .* was not made at auth\/approle\/role\/<name>\/secret-id/,
    );
    expect(fake.store.wraps.has(wrap)).toBe(true);
  });

  test("that is opened between the look and the unwrapping is a security event, however often it is tried", async () => {
    const { made, wrap } = wrapped("auth/approle/role/edge/secret-id");
    fake.misbehave = ({ path }) => {
      if (path === "sys/wrapping/unwrap") fake.store.wraps.delete(wrap);
      return false;
    };
    expect(await refusalOf(made)).toMatch(/: security event/);
    clock.advance(61_000);
    expect(await refusalOf(made)).toMatch(/: security event/);
  });

  test("whose answer was lost on its way to custody is told as that", async () => {
    const { made, wrap } = wrapped("auth/approle/role/edge/secret-id");
    fake.misbehave = ({ path }, response) => {
      if (path !== "sys/wrapping/unwrap") return false;
      fake.store.wraps.delete(wrap);
      response.destroy();
      return true;
    };
    expect(await refusalOf(made)).toMatch(/cannot be reached/);
    clock.advance(61_000);
    expect(await refusalOf(made)).toMatch(/was lost on its way to custody/);
  });

  test("a new one is taken where the old secret id is no good any more", async () => {
    const { made, environment } = wrapped("auth/approle/role/edge/secret-id");
    await lease(made);
    const role = fake.store.appRoles.get("approle/edge");
    if (role === undefined) throw new Error("the role is there");
    role.secretIds.clear();
    const again = { secret_id: fake.store.newSecretId(role) };
    environment["SECRET_ID"] = fake.store.wrap("auth/approle/role/edge/secret-id", 300_000, again);
    clock.advance(70_000);
    await lease(made);
    expect(fake.count(/unwrap/)).toBe(2);
  });
});

test.each([
  [{}, "vault+kv2://kv/apps/openai#api_key"],
  [{ version: 3, field: "a (b)" }, "vault+kv2://kv/apps/openai#a%20%28b%29?version=3"],
  [{ mount: "team/kv", engine: "kv1" }, "vault+kv1://team%2Fkv/apps/openai#api_key"],
  [{ engine: "dynamic", mount: "database", path: "creds/ro", field: null }, "vault+dynamic://database/creds/ro"],
] as const)("the canonical reference of %o", async (source, reference) => {
  const made = approleBench(source);
  expect(made.issuer.catalogue.find("key")?.reference).toBe(reference);
});

describe("key-value engines", () => {
  test("KV 2: the latest version, or the one that is pinned", async () => {
    fake.store.write("kv/apps/openai", { api_key: "sk-second" });
    expect(secretOf((await lease(approleBench())).material).reveal()).toBe("sk-second");
    expect(secretOf((await lease(approleBench({ version: 1 }))).material).reveal()).toBe(SECRET);
    expect(fake.count(/\?version=1$/)).toBe(1);
  });

  test("KV 1, and its mistaken use on a mount with versions", async () => {
    fake.store.kv1.set("old/apps/openai", { api_key: SECRET });
    const made = approleBench({ engine: "kv1", mount: "old" });
    expect(secretOf((await lease(made)).material).reveal()).toBe(SECRET);
    expect(await refusalOf(approleBench({ engine: "kv1" }))).toMatch(/holds versions: write engine: kv2/);
  });

  test("a user name comes with its password", async () => {
    fake.store.write("kv/apps/openai", { username: "robot", password: SECRET });
    const grant = await lease(approleBench({ field: null }, { kind: "userpass" }));
    expect(grant.material).toMatchObject({ kind: "userpass", username: "robot" });
  });

  test("deleted, destroyed and never written are told apart", async () => {
    const [version] = fake.store.kv2.get("kv/apps/openai") ?? [];
    if (version === undefined) throw new Error("it is there");
    version.deletionMs = clock.wallMs() - 1000;
    expect(await refusalOf(approleBench())).toMatch(/its latest version is deleted: undelete it/);
    version.destroyed = true;
    expect(await refusalOf(approleBench())).toMatch(/is destroyed for good/);
    expect(await refusalOf(approleBench({ path: "apps/none" }))).toMatch(/there is nothing, or no version/);
    expect(await refusalOf(approleBench({ version: 9 }))).toMatch(/there is nothing, or no version 9/);
  });

  test("a field that is missing or no text is named, its value is not", async () => {
    expect(await refusalOf(approleBench({ field: "token" }))).toMatch(/has no field "token"/);
    expect(await refusalOf(approleBench({ field: "number" }))).toMatch(/has no text in field "number"/);
  });

  test("a deletion that lies ahead ends the lease with it", async () => {
    fake.store.write("kv/apps/openai", { api_key: SECRET }, clock.wallMs() + 120_000);
    const { ttlMs } = await lease(approleBench());
    expect(ttlMs).toBeLessThanOrEqual(120_000);
    expect(ttlMs).toBeGreaterThan(115_000);
  });

  test("an answer serves for five seconds, none to whom the upstream has refused it, and none after a failure", async () => {
    const made = approleBench();
    const read = async (purpose: "request" | "rejected") =>
      secretOf((await lease(made, { purpose })).material).reveal();
    expect(await read("request")).toBe(SECRET);
    fake.store.write("kv/apps/openai", { api_key: "sk-second" });
    clock.advance(4_999);
    expect(await read("request")).toBe(SECRET);
    expect(await read("rejected")).toBe("sk-second");
    fake.store.write("kv/apps/openai", { api_key: "sk-third" });
    clock.advance(5_000);
    expect(await read("request")).toBe("sk-third");
    fake.sealed = true;
    clock.advance(5_000);
    expect(await refusalOf(made)).toMatch(/is sealed/);
    clock.advance(-1);
    expect(await refusalOf(made)).toMatch(/is sealed/);
  });

  test("the life of what was read counts from the request", async () => {
    const made = approleBench();
    await lease(made);
    fake.misbehave = () => {
      clock.advance(2_000);
      return false;
    };
    const { ttlMs } = await lease(made, { purpose: "rejected" });
    expect(ttlMs).toBe(898_000);
  });
});

describe("what a status means", () => {
  test("403 for a live token is a matter of policy: no second login", async () => {
    const made = approleBench({ mount: "secret" });
    expect(await refusalOf(made)).toMatch(/permission denied on secret\/data\/apps\/openai: give a policy/);
    // Long after the login as well.
    clock.advance(600_000);
    expect(await refusalOf(made)).toMatch(/permission denied/);
    expect(fake.count(/login/)).toBe(1);
    expect(made.vaults.problem).toBeNull();
  });

  test("403 for a token that was revoked: one login, and the lease is there", async () => {
    const made = approleBench();
    await lease(made);
    for (const id of fake.store.tokens.keys()) fake.store.revokeToken(id);
    clock.advance(6_000);
    expect(secretOf((await lease(made)).material).reveal()).toBe(SECRET);
    expect(fake.count(/login/)).toBe(2);
  });

  test.each([
    [412, /has not replicated the state yet/, 3],
    [472, /disaster-recovery secondary/, 3],
    [473, /performance standby/, 3],
    [500, /failed inside/, 3],
    [502, /could not reach what its engine needs/, 3],
    [501, /is not initialised/, 1],
    [413, /too large/, 1],
    [405, /does not support/, 1],
    [418, /status 418, which its API does not know/, 1],
  ])("%i is told by name, and asked again only where that can help", async (status, text, tries) => {
    const made = approleBench();
    await lease(made);
    clock.advance(5_000);
    const before = fake.asked.length;
    fake.failures.push(status, status, status, status);
    const refused = refusalOf(made);
    await ringUntil(refused);
    expect(await refused).toMatch(text);
    expect(fake.asked.length - before).toBe(tries);
    fake.failures.splice(0);
    await lease(made);
  });

  test("429 is left alone for as long as it says", async () => {
    const made = approleBench();
    await lease(made);
    clock.advance(5_000);
    fake.limitedS = 7;
    expect(await refusalOf(made)).toMatch(/limits the rate/);
    fake.limitedS = null;
    const before = fake.asked.length;
    clock.advance(6_900);
    expect(await refusalOf(made)).toMatch(/left alone/);
    expect(fake.asked.length).toBe(before);
    clock.advance(200);
    await lease(made);
  });

  test("sealed is a problem of the server that is told and goes by itself", async () => {
    const made = approleBench();
    await lease(made);
    fake.sealed = true;
    timers.advance(15_000);
    await expect.poll(() => made.vaults.problem).toMatch(/is sealed or locked/);
    fake.sealed = false;
    timers.advance(15_000);
    await expect.poll(() => made.vaults.problem).toBeNull();
    expect(made.told.filter((text) => text.includes("sealed"))).toHaveLength(1);
  });
});

/** Lets the pauses between tries pass. */
async function ringUntil(settled: Promise<unknown>): Promise<void> {
  const state = { isDone: false };
  const done = settled.catch(() => undefined).finally(() => (state.isDone = true));
  while (!state.isDone) {
    await new Promise(setImmediate);
    timers.advance(0.5);
  }
  await done;
}
