import type { ServerResponse } from "node:http";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { LeaseRefusal } from "../../src/core/custody.ts";
import type { VaultServer } from "../../src/core/vault.ts";
import { type CustodyTls, makeCustodyTls } from "./support/custody-tls.ts";
import { ManualClock } from "./support/clocks.ts";
import { type Asked, FakeVault, type Misbehaviour } from "./support/fake-vault.ts";
import { requestOf } from "./support/permits.ts";
import { secretOf } from "./support/secret-of.ts";
import {
  appRoleOf,
  kvEntry,
  ManualTimers,
  quiet,
  serverOf,
  type VaultBench,
  vaultIssuing,
} from "./support/vault-bench.ts";

/**
 * A Vault that dies, hangs, lies or leads elsewhere: no lease from memory beyond its time, back again without a restart, and
 * nothing secret in anything that is written.
 */

const SECRET = "sk-chaos-root-0f3a9c";
const SECRET_ID_ENV = "SECRET_ID";

let tls: CustodyTls;
beforeAll(async () => {
  tls = await makeCustodyTls();
});
afterAll(() => tls.remove());

let clock: ManualClock;
let timers: ManualTimers;
let fake: FakeVault;
let made: VaultBench;
let secretId: string;
const details: string[] = [];
beforeEach(async () => {
  clock = new ManualClock();
  timers = new ManualTimers(clock);
  fake = await new FakeVault(clock).listen();
  fake.store.write("kv/apps/openai", { api_key: SECRET });
  ({ secretId } = appRoleOf(fake));
});
afterEach(async () => {
  fake.misbehave = null;
  await made.vaults.close();
  made.issuer.close();
  await fake.stop();
  const written = [...details.splice(0), ...made.told, ...made.warnings, JSON.stringify(made.audit.events)].join("\n");
  for (const secret of [SECRET, secretId, "hvs.", ...fake.store.tokens.keys()]) expect(written).not.toContain(secret);
});

function begin(change: Partial<VaultServer> = {}): void {
  made = vaultIssuing(
    [kvEntry(serverOf(fake, { timeoutMs: 2_000, ...change }))],
    { [SECRET_ID_ENV]: secretId },
    { clock, timers },
  );
}

const ask = async (): Promise<string> => {
  const grant = await made.issuer.issue({ name: "t", tenants: null }, requestOf(), new AbortController().signal);
  return secretOf(grant.material).reveal();
};

async function refused(): Promise<string> {
  const error: unknown = await ask().catch((thrown: unknown) => thrown);
  if (!(error instanceof LeaseRefusal)) throw new Error("expected a refusal", { cause: error });
  expect(error.reason).toBe("source_unavailable");
  details.push(error.detail ?? "");
  return error.detail ?? "";
}

/** Past the answer that serves for a few seconds, and past the wait after a failed login. */
async function later(): Promise<void> {
  timers.advance(61_000);
  await quiet(fake);
}

test("killed in the middle of an answer, and gone for a while", async () => {
  begin();
  expect(await ask()).toBe(SECRET);
  clock.advance(5_000);
  fake.misbehave = (_asked, response) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": "5000" });
    response.write('{"data":{"data":{"api_key":"');
    setImmediate(() => response.destroy());
    return true;
  };
  expect(await refused()).toMatch(/cannot be reached/);
  fake.misbehave = null;
  await fake.stop();
  expect(await refused()).toMatch(/ECONNREFUSED/);
  expect(made.vaults.problem).toMatch(/ECONNREFUSED/);
  await fake.listen();
  expect(await ask()).toBe(SECRET);
  expect(made.vaults.problem).toBeNull();
});

test.each<[string, Misbehaviour]>([
  ["before it answers", () => true],
  [
    "in the middle of an answer",
    (_asked, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.write("{");
      return true;
    },
  ],
])("hung %s: refused in bounded time", async (_when, hang) => {
  begin({ timeoutMs: 1500 });
  expect(await ask()).toBe(SECRET);
  clock.advance(5_000);
  const open: ServerResponse[] = [];
  fake.misbehave = (asked, response) => {
    open.push(response);
    return hang(asked, response);
  };
  expect(await refused()).toMatch(/no answer within 1500 ms/);
  for (const response of open) response.destroy();
  fake.misbehave = null;
  expect(await ask()).toBe(SECRET);
});

test("sealed in the middle: refused by name once what was read is over, and back when it is unsealed", async () => {
  begin();
  await ask();
  fake.sealed = true;
  clock.advance(5_000);
  expect(await refused()).toMatch(/is sealed or locked/);
  await later();
  expect(await refused()).toMatch(/is sealed or locked/);
  fake.sealed = false;
  expect(await ask()).toBe(SECRET);
});

test("its token revoked in the middle, under many who ask: one login, everybody served", async () => {
  begin();
  await ask();
  fake.store.write("kv/apps/openai", { api_key: SECRET });
  for (const id of fake.store.tokens.keys()) fake.store.revokeToken(id);
  clock.advance(6_000);
  expect(await Promise.all(Array.from({ length: 20 }, ask))).toEqual(Array.from({ length: 20 }, () => SECRET));
  expect(fake.count(/login/)).toBe(2);
});

test("a token that may look at nothing, itself included, does not make custody log in for every lease", async () => {
  fake.store.policies.set("default", {});
  fake.store.policies.set("reader", {});
  begin();
  for (let i = 0; i < 5; i++) expect(await refused()).toMatch(/permission denied/);
  expect(fake.count(/login/)).toBe(1);
});

describe("lies", () => {
  const answering =
    (body: string, status = 200, headers: Record<string, string> = {}): Misbehaviour =>
    ({ path }: Asked, response) => {
      if (!path.startsWith("kv/")) return false;
      response.writeHead(status, { "content-type": "application/json", ...headers });
      response.end(body);
      return true;
    };
  const secretly = (inner: object) => answering(JSON.stringify(inner));
  const metadata = { version: 1, deletion_time: "", destroyed: false };

  test.each<[string, Misbehaviour]>([
    ["no JSON, with a secret in it", answering(`<html>${SECRET}</html>`)],
    ["a list", answering(`["${SECRET}"]`)],
    ["nothing", answering("")],
    ["no data", secretly({ data: null })],
    ["data of the wrong kind", secretly({ data: { data: SECRET, metadata } })],
    ["a number for a text", secretly({ data: { data: { api_key: 5 }, metadata } })],
    ["an object for a text", secretly({ data: { data: { api_key: { x: SECRET } }, metadata } })],
    ["an empty text", secretly({ data: { data: { api_key: "" }, metadata } })],
    ["lines in a token", secretly({ data: { data: { api_key: `a\r\nx-evil: ${SECRET}` }, metadata } })],
    ["no metadata", secretly({ data: { data: { api_key: SECRET } } })],
    [
      "a version that is none",
      secretly({ data: { data: { api_key: SECRET }, metadata: { ...metadata, version: "1" } } }),
    ],
    [
      "a deletion time that is none",
      secretly({ data: { data: { api_key: SECRET }, metadata: { ...metadata, deletion_time: "soon" } } }),
    ],
    [
      "a deletion time that is over",
      secretly({
        data: { data: { api_key: SECRET }, metadata: { ...metadata, deletion_time: "2001-01-01T00:00:00Z" } },
      }),
    ],
    ["more than anybody reads", answering(JSON.stringify({ data: "x".repeat(300_000) }))],
    ["an error that quotes the token", answering(JSON.stringify({ errors: ["hvs.quoted", SECRET] }), 400)],
    ["a status that is none of its own", answering(JSON.stringify({ errors: [SECRET] }), 299)],
  ])("%s", async (_what, lie) => {
    begin();
    expect(await ask()).toBe(SECRET);
    clock.advance(5_000);
    fake.misbehave = lie;
    await refused();
    await refused();
    fake.misbehave = null;
    clock.advance(5_000);
    expect(await ask()).toBe(SECRET);
  });

  test("a body without end is read no further than its bound", async () => {
    begin();
    await ask();
    clock.advance(5_000);
    const state = { sent: 0 };
    fake.misbehave = ({ path }, response) => {
      if (!path.startsWith("kv/")) return false;
      response.writeHead(200, { "content-type": "application/json" });
      const more = (): void => {
        state.sent += 65_536;
        if (response.destroyed) return;
        if (response.write(" ".repeat(65_536))) setImmediate(more);
        else response.once("drain", more);
      };
      more();
      return true;
    };
    expect(await refused()).toMatch(/answers with more than 262144 bytes/);
    await quiet(fake);
    expect(state.sent).toBeLessThan(16_777_216);
  });

  test("another version than the one that is pinned", async () => {
    fake.store.write("kv/apps/openai", { api_key: SECRET });
    const entry = kvEntry(serverOf(fake), { version: 2 });
    made = vaultIssuing([entry], { [SECRET_ID_ENV]: secretId }, { clock, timers });
    fake.misbehave = secretly({ data: { data: { api_key: SECRET }, metadata } });
    expect(await refused()).toMatch(/version 2 was asked for and another one came/);
  });

  test.each([301, 302, 307, 308])(
    "a redirect (%i) to another origin gets neither the token nor a request",
    async (status) => {
      const thief = await new FakeVault(clock).listen();
      try {
        begin();
        await ask();
        clock.advance(5_000);
        const location = `http://127.0.0.1:${thief.port}/v1/kv/data/apps/openai`;
        fake.misbehave = answering("{}", status, { location });
        expect(await refused()).toMatch(/redirect .* never followed with a token/);
        expect(thief.asked).toEqual([]);
      } finally {
        await thief.stop();
      }
    },
  );

  test.each([
    ["no token", { auth: { lease_duration: 60, renewable: true, policies: [] } }],
    [
      "a token with a line break",
      { auth: { client_token: "a\nb", lease_duration: 60, renewable: true, policies: [] } },
    ],
    ["a life that is none", { auth: { client_token: "t", lease_duration: -1, renewable: true, policies: [] } }],
    ["a second factor", { auth: { client_token: "", mfa_requirement: { mfa_request_id: "x" } } }],
    ["policies that are none", { auth: { client_token: "t", lease_duration: 60, policies: [7] } }],
  ])("a login that brings %s", async (what, body) => {
    fake.misbehave = ({ path }, response) => {
      if (!path.endsWith("/login")) return false;
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
      return true;
    };
    begin();
    expect(await refused()).toMatch(
      what === "a second factor" ? /asks for a second factor/ : /does not follow its API at/,
    );
    fake.misbehave = null;
    await later();
    expect(await ask()).toBe(SECRET);
  });
});

describe("TLS", () => {
  let served: FakeVault;
  afterEach(() => served.stop());

  async function over(
    server: { readonly certificate: string; readonly key: string },
    serverName: string,
  ): Promise<void> {
    served = await new FakeVault(clock, { key: server.key, cert: server.certificate }).listen();
    served.store.write("kv/apps/openai", { api_key: SECRET });
    const { role, secretId: other } = appRoleOf(served);
    expect(role.secretIds.has(other)).toBe(true);
    secretId = other;
    begin({
      address: { kind: "https", host: "127.0.0.1", port: served.port },
      ca: tls.ca.certificate,
      serverName,
    });
  }

  test("the right name under the right roots", async () => {
    await over(tls.server, "custody.internal");
    expect(await ask()).toBe(SECRET);
  });

  test("another name, or another root, gets nothing", async () => {
    await over(tls.server, "vault.internal");
    expect(await refused()).toMatch(/ALTNAME.*check ca and server_name/);
    expect(served.asked).toEqual([]);
    await made.vaults.close();
    await served.stop();
    await over(tls.forgedServer, "custody.internal");
    expect(await refused()).toMatch(/cannot be reached \([A-Z_]+\): check ca/);
    expect(served.asked).toEqual([]);
  });
});
