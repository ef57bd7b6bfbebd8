import { createPublicKey } from "node:crypto";
import { join } from "node:path";
import { jwtVerify } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { CustodyPort } from "../../src/core/custody.ts";
import type { MintSpec } from "../../src/core/mint.ts";
import { EmbeddedCustody } from "../../src/custody/embedded.ts";
import { RemoteCustody } from "../../src/custody/remote.ts";
import { secretOf } from "./support/secret-of.ts";
import { realClock } from "./support/clocks.ts";
import { type CustodyTls, makeCustodyTls } from "./support/custody-tls.ts";
import { denialOf } from "./support/denials.ts";
import { entryOf, type Issuing, issuing, type IssuingOptions, ROOT } from "./support/issuing.ts";
import { keyPair, templateOf } from "./support/minting.ts";
import { requestOf } from "./support/permits.ts";
import { serving } from "./support/serving.ts";

/** One contract for every adapter: an edge cannot tell from the port's behaviour where its custody is. */

interface Bench extends Issuing {
  readonly custody: CustodyPort;
  readonly caller: string;
}

let tls: CustodyTls;
beforeAll(async () => {
  tls = await makeCustodyTls();
});
afterAll(async () => {
  await tls.remove();
  expect(told.length).toBeGreaterThan(30);
  for (const text of told) expect(text).not.toContain(ROOT);
});

/** Everything that was written down or told in these tests: records, warnings, refusals. */
const told: string[] = [];

const closers: (() => Promise<void> | void)[] = [];
const benches: Bench[] = [];
afterEach(async () => {
  for (const { audit, warnings } of benches.splice(0)) told.push(JSON.stringify(audit.events), ...warnings);
  for (const close of closers.splice(0).reverse()) await close();
});

let sockets = 0;

const adapters: [string, (options: Partial<IssuingOptions>) => Promise<Bench>][] = [
  [
    "embedded",
    async (options) => {
      const parts = issuing({ clock: realClock, ...options });
      const custody = new EmbeddedCustody(parts.issuer);
      closers.push(() => custody.close());
      return { ...parts, custody, caller: "embedded" };
    },
  ],
  [
    "remote over mutual TLS",
    async (options) => {
      const served = await serving({ on: tls, ...options });
      const address = { kind: "tcp", host: "127.0.0.1", port: served.port } as const;
      const custody = new RemoteCustody({ address, tls: tls.client, timeoutMs: 10_000 });
      closers.push(served.stop, () => custody.close());
      return { ...served, custody, caller: "edge-1.internal" };
    },
  ],
  [
    "remote over a unix socket",
    async (options) => {
      const path = join(tls.directory, `c${sockets++}.sock`);
      const served = await serving({ on: path, ...options });
      const custody = new RemoteCustody({ address: { kind: "unix", path }, tls: null, timeoutMs: 10_000 });
      closers.push(served.stop, () => custody.close());
      return { ...served, custody, caller: "unix" };
    },
  ],
];

const calm = () => new AbortController().signal;

describe.each(adapters)("%s", (_name, open) => {
  test("a narrowing is what is minted and what is on record, and more than the entry is refused", async () => {
    const { publicKey, privateKey } = keyPair("ES256");
    const mint: MintSpec = { as: "signed_jwt", type: "JWT", scopes: ["read", "write"], template: templateOf() };
    const environment = { ROOT: privateKey };
    const { custody, audit } = await make({ environment, entries: [entryOf({ mint })] });
    const { material } = await custody.lease(requestOf({ narrow: { scopes: ["read"] } }), calm());
    const { payload } = await jwtVerify(secretOf(material).reveal(), createPublicKey(publicKey));
    expect(payload["scope"]).toBe("read");
    expect(audit.events[0]?.narrow).toEqual({ scopes: ["read"] });
    const denial = await denialOf(() => custody.lease(requestOf({ narrow: { scopes: ["read", "admin"] } }), calm()));
    expect(denial).toMatchObject({ code: "lease_denied", reason: "scope_not_allowed" });
  });

  test("what is leased as it is cannot be narrowed", async () => {
    const { custody } = await make({});
    const denial = await denialOf(() => custody.lease(requestOf({ narrow: { scopes: ["read"] } }), calm()));
    expect(denial).toMatchObject({ code: "lease_denied", reason: "scope_not_allowed" });
  });

  const make = async (options: Partial<IssuingOptions>): Promise<Bench> => {
    const bench = await open(options);
    benches.push(bench);
    return bench;
  };

  test.each([
    [entryOf(), { kind: "token" }],
    [entryOf({ kind: "userpass", username: "robot" }), { kind: "userpass", username: "robot" }],
    [entryOf({ kind: "header" }), { kind: "header" }],
  ] as const)("leases each kind of material: %o", async (entry, shape) => {
    const { custody } = await make({ entries: [entry] });
    const grant = await custody.lease(requestOf(), calm());
    expect(grant.material).toMatchObject(shape);
    expect(secretOf(grant.material).reveal()).toBe(ROOT);
  });

  test("answers with the scope that was asked for and records who asked", async () => {
    const { custody, audit, caller } = await make({ entries: [entryOf({ ttlSeconds: 60, maxUses: 5 })] });
    const grant = await custody.lease(requestOf(), calm());
    expect(grant).toMatchObject({
      credential: "key",
      ttlMs: 60_000,
      maxUses: 5,
      scope: { tenant: "acme", session: "s1", host: "api.example.com", port: 443 },
      binding: null,
    });
    expect(audit.events).toHaveLength(1);
    expect(audit.events[0]).toMatchObject({
      caller,
      leaseId: grant.leaseId,
      resourceRef: grant.resourceRef,
      subject: "agent",
    });
  });

  test("names of other scripts keep their bytes", async () => {
    const session = { id: "сессия-1", tenant: "株式会社", workspace: "área", subject: "агент 🔑" };
    const { custody } = await make({});
    expect((await custody.lease(requestOf({ session }), calm())).scope).toMatchObject({
      tenant: "株式会社",
      session: "сессия-1",
    });
  });

  test.each([
    [{ credential: "other" }, "credential_unknown", "lease_denied"],
    [{ host: "evil.example.com" }, "scope_not_allowed", "lease_denied"],
    [{ port: 8443 }, "scope_not_allowed", "lease_denied"],
  ] as const)("refuses %o by name", async (change, reason, code) => {
    const { custody } = await make({});
    expect(await denialOf(() => custody.lease(requestOf(change), calm()))).toMatchObject({ reason, code });
  });

  test("refuses a tenant that the credential is not for", async () => {
    const { custody } = await make({ entries: [entryOf({ tenants: ["globex"] })] });
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ reason: "tenant_not_allowed" });
  });

  test("a source that gives nothing is unavailable, not refused", async () => {
    const { custody } = await make({ environment: {} });
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({
      reason: "source_unavailable",
      code: "custody_unavailable",
    });
  });

  test("an audit that cannot write gives no lease, and the next is fine once it can", async () => {
    const { custody, audit } = await make({});
    audit.failing = true;
    expect(await denialOf(() => custody.lease(requestOf(), calm()))).toMatchObject({ reason: "audit_unavailable" });
    audit.failing = false;
    expect((await custody.lease(requestOf(), calm())).credential).toBe("key");
  });

  test("a cancelled call is unavailable", async () => {
    const { custody } = await make({});
    expect(await denialOf(() => custody.lease(requestOf(), AbortSignal.abort()))).toMatchObject({
      code: "custody_unavailable",
    });
  });

  test("is healthy, and knows how long one may wait", async () => {
    const { custody } = await make({});
    await custody.health(calm());
    expect(custody.timeoutMs).toBeGreaterThan(0);
  });

  test("many at once each get their own", async () => {
    const { custody } = await make({ entries: [entryOf({ hosts: ["*.example.com:443"] })] });
    const hosts = Array.from({ length: 100 }, (_, i) => `h${i}.example.com`);
    const grants = await Promise.all(hosts.map((host) => custody.lease(requestOf({ host }), calm())));
    expect(grants.map(({ scope }) => scope.host)).toEqual(hosts);
    expect(new Set(grants.map(({ leaseId }) => leaseId)).size).toBe(100);
  });
});
