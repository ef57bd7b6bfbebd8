import { describe, expect, test, vi } from "vitest";
import { parseMountGrant } from "../../src/core/canonical-reference.ts";
import type { LeaseRequest } from "../../src/core/custody.ts";
import { Secret } from "../../src/core/secret.ts";
import type { Caller } from "../../src/custody/caller.ts";
import { secretOf } from "./support/secret-of.ts";
import { ManualClock } from "./support/clocks.ts";
import { denialOf } from "./support/denials.ts";
import { entryOf, issuing, type IssuingOptions, ROOT } from "./support/issuing.ts";
import { requestOf } from "./support/permits.ts";

const EDGE: Caller = { name: "edge", tenants: null };

function start(options: Partial<IssuingOptions> = {}, caller = EDGE) {
  const clock = new ManualClock();
  const parts = issuing({ clock, ...options });
  const issue = (change: Partial<LeaseRequest> = {}, signal = new AbortController().signal) =>
    parts.issuer.issue(caller, requestOf(change), signal);
  return { ...parts, clock, issue };
}

describe("an issue", () => {
  test("carries exactly what was asked for, and is recorded before it is answered", async () => {
    const { issue, audit, clock } = start();
    const grant = await issue();
    expect(grant).toMatchObject({
      credential: "key",
      ttlMs: 900_000,
      maxUses: null,
      scope: { tenant: "acme", session: "s1", host: "api.example.com", port: 443 },
      binding: null,
    });
    expect(secretOf(grant.material).reveal()).toBe(ROOT);
    expect(audit.events).toEqual([
      {
        type: "lease_issued",
        wallMs: clock.wallMs(),
        caller: "edge",
        tenant: "acme",
        session: "s1",
        subject: "agent",
        credential: "key",
        destination: "api",
        host: "api.example.com",
        port: 443,
        purpose: "request",
        leaseId: grant.leaseId,
        resourceRef: grant.resourceRef,
        ttlMs: 900_000,
        reason: null,
      },
    ]);
  });

  test("every lease has its own id and its own material", async () => {
    const { issue } = start();
    const one = await issue();
    const two = await issue();
    expect(one.leaseId).not.toBe(two.leaseId);
    secretOf(one.material).zero();
    expect(secretOf(two.material).reveal()).toBe(ROOT);
  });

  test("the reference shows neither the place nor that two tenants share it", async () => {
    const { issue } = start();
    const acme = await issue();
    const again = await issue();
    const globex = await issue({ session: { id: "s1", tenant: "globex", workspace: "w", subject: "agent" } });
    expect(acme.resourceRef).toMatch(/^[0-9a-f]{16}$/);
    expect(again.resourceRef).toBe(acme.resourceRef);
    expect(globex.resourceRef).not.toBe(acme.resourceRef);
  });

  test("a wildcard covers what is below the apex", async () => {
    const { issue } = start({ entries: [entryOf({ hosts: ["*.example.com:443"] })] });
    expect((await issue({ host: "a.b.example.com" })).scope.host).toBe("a.b.example.com");
  });

  test("an IPv6 authority is covered as it is spelled in the catalogue", async () => {
    const { issue } = start({ entries: [entryOf({ hosts: ["[2001:db8::1]:443"] })] });
    expect((await issue({ host: "2001:db8::1" })).scope.host).toBe("2001:db8::1");
  });

  test("the limits of the entry are those of the lease", async () => {
    const { issue } = start({ entries: [entryOf({ ttlSeconds: 60, maxUses: 3 })] });
    expect(await issue()).toMatchObject({ ttlMs: 60_000, maxUses: 3 });
  });
});

describe("a refusal", () => {
  const acmeOnly = { entries: [entryOf({ tenants: ["acme"] })] };
  const globex = { session: { id: "s1", tenant: "globex", workspace: "w", subject: "agent" } };

  test.each<[string, Partial<IssuingOptions>, Partial<LeaseRequest>, string, string]>([
    ["an unknown credential", {}, { credential: "other" }, "credential_unknown", "lease_denied"],
    ["a name of Object.prototype", {}, { credential: "__proto__" }, "credential_unknown", "lease_denied"],
    ["another host", {}, { host: "evil.example.com" }, "scope_not_allowed", "lease_denied"],
    ["another port", {}, { port: 8443 }, "scope_not_allowed", "lease_denied"],
    ["another spelling of the host", {}, { host: "API.example.com" }, "scope_not_allowed", "lease_denied"],
    ["a host that carries the port", {}, { host: "api.example.com:443" }, "scope_not_allowed", "lease_denied"],
    ["a tenant that may not", acmeOnly, globex, "tenant_not_allowed", "lease_denied"],
    [
      "an empty list of tenants, which means none",
      { entries: [entryOf({ tenants: [] })] },
      {},
      "tenant_not_allowed",
      "lease_denied",
    ],
    [
      "the apex of a wildcard",
      { entries: [entryOf({ hosts: ["*.example.com:443"] })] },
      { host: "example.com" },
      "scope_not_allowed",
      "lease_denied",
    ],
    [
      "a name that only ends alike",
      { entries: [entryOf({ hosts: ["*.example.com:443"] })] },
      { host: "evilexample.com" },
      "scope_not_allowed",
      "lease_denied",
    ],
    ["a revoked session", { sessions: () => "session_revoked" }, {}, "session_revoked", "lease_denied"],
    ["a missing root", { environment: {} }, {}, "source_unavailable", "custody_unavailable"],
    [
      "a root that no field can carry",
      { environment: { ROOT: `${ROOT}\r\nx-evil: 1` } },
      {},
      "source_unavailable",
      "custody_unavailable",
    ],
    [
      "a root in another script",
      { environment: { ROOT: `${ROOT}ключ` } },
      {},
      "source_unavailable",
      "custody_unavailable",
    ],
  ])("of %s is named and recorded, and nothing is minted", async (_what, options, change, reason, code) => {
    const { issue, audit, warnings } = start(options);
    const denial = await denialOf(() => issue(change));
    expect(denial).toMatchObject({ code, reason });
    expect(audit.events).toHaveLength(1);
    expect(audit.events[0]).toMatchObject({ type: "lease_refused", reason, leaseId: "", ttlMs: 0 });
    expect(JSON.stringify([audit.events, warnings, denial.detail, denial.message])).not.toContain(ROOT);
  });

  test("a caller leases for its own tenants only", async () => {
    const { issue } = start({}, { name: "edge", tenants: ["globex"] });
    expect(await denialOf(issue)).toMatchObject({ reason: "caller_not_allowed", code: "lease_denied" });
    expect((await issue(globex)).scope.tenant).toBe("globex");
  });

  test("the session is judged before the credential, so nobody can list credentials with a dead session", async () => {
    const { issue } = start({ sessions: () => "session_unknown" });
    expect(await denialOf(() => issue({ credential: "other" }))).toMatchObject({ reason: "session_unknown" });
  });

  test("without a durable record there is no lease", async () => {
    const { issue, audit, warnings } = start();
    audit.failing = true;
    expect(await denialOf(issue)).toMatchObject({ reason: "audit_unavailable", code: "custody_unavailable" });
    expect(warnings.join()).toContain("no space left on device");
    audit.failing = false;
    await issue();
  });

  test("what was minted and could not be recorded is zeroed", async () => {
    const { issue, audit } = start();
    const zero = vi.spyOn(Secret.prototype, "zero");
    audit.failing = true;
    await denialOf(issue);
    expect(zero).toHaveBeenCalledTimes(1);
    zero.mockRestore();
  });

  test("a refusal stands when it cannot be recorded, and the gap is told", async () => {
    const { issue, audit, warnings } = start();
    audit.failing = true;
    expect(await denialOf(() => issue({ port: 1 }))).toMatchObject({ reason: "scope_not_allowed" });
    expect(warnings.join()).toContain("a refusal was not recorded");
  });

  test("a caller that is gone ends the mint", async () => {
    const { issue, audit } = start();
    expect(await denialOf(() => issue({}, AbortSignal.abort()))).toMatchObject({ code: "custody_unavailable" });
    expect(audit.events.map(({ type }) => type)).toEqual(["lease_refused"]);
  });
});

describe("user names", () => {
  const robot = entryOf({ kind: "userpass", username: "robot" });

  test("come from the entry for a plain source", async () => {
    const { issue } = start({ entries: [robot] });
    const { material } = await issue();
    expect(material).toMatchObject({ kind: "userpass", username: "robot" });
    expect(secretOf(material).reveal()).toBe(ROOT);
  });

  test("are not guessed", async () => {
    const { issue } = start({ entries: [{ ...robot, username: null }] });
    expect((await denialOf(issue)).detail).toContain('write "username:"');
  });
});

describe("tenants that are told apart by where a credential is kept", () => {
  const mountsOf = (...mounts: string[]) => new Map([["acme", mounts.flatMap((text) => parseMountGrant(text) ?? [])]]);
  const slip = entryOf({ name: "key", source: { from: "file", path: "/run/secrets/globex/key" }, tenants: ["acme"] });

  test("are issued what lies in their mounts", async () => {
    const { issue } = start({ tenantMounts: mountsOf("store://acme", "env://") });
    expect((await issue()).credential).toBe("key");
  });

  test.each([
    ["another mount of the same provider", mountsOf("store://acme", "store://")],
    ["a path beside it", mountsOf("file:///run/secrets/acme", "file:///run/secrets/glob")],
    ["no mounts at all", mountsOf()],
    ["a table without the tenant", new Map()],
  ])("are refused the rest before its source is touched, whatever the entry says: %s", async (_what, tenantMounts) => {
    const { issuer, issue, audit, warnings } = start({ entries: [slip], tenantMounts });
    const item = issuer.catalogue.find("key");
    if (item === undefined) throw new Error("the catalogue has it");
    const mint = vi.spyOn(item.minter, "mint");
    expect(await denialOf(issue)).toMatchObject({ reason: "mount_not_allowed", code: "lease_denied" });
    // It comes ahead of what the entry itself would refuse.
    expect(await denialOf(() => issue({ port: 1 }))).toMatchObject({ reason: "mount_not_allowed" });
    expect(mint).not.toHaveBeenCalled();
    expect(audit.events.map(({ type, reason }) => [type, reason])).toEqual(
      Array.from({ length: 2 }, () => ["lease_refused", "mount_not_allowed"]),
    );
    expect(warnings).toEqual([]);
  });

  test("are refused what is minted with something that lies elsewhere", async () => {
    const { issue } = start({
      tenantMounts: mountsOf("env://"),
      entries: [
        entryOf({
          mint: {
            as: "oauth2_client_credentials",
            endpoint: { url: "https://issuer.test/token", ca: null, timeoutMs: 1_000 },
            client: {
              id: "postern",
              auth: "client_secret_basic",
              secret: { from: "file", path: "/run/secrets/globex/client" },
              algorithm: "ES256",
              keyId: null,
              audience: null,
            },
            scopes: [],
            audiences: [],
            resources: [],
            dpop: null,
          },
        }),
      ],
    });
    expect(await denialOf(issue)).toMatchObject({ reason: "mount_not_allowed" });
  });

  test("lose a mount at once, also for a root that is being read", async () => {
    const { issuer, issue } = start({ tenantMounts: mountsOf("env://") });
    const root = Secret.of(ROOT);
    const item = issuer.catalogue.find("key");
    if (item === undefined) throw new Error("the catalogue has it");
    item.minter.mint = async () => {
      issuer.useCatalogue(issuer.catalogue, mountsOf("store://acme"));
      return { material: { kind: "token", token: root }, expiresAtMs: null, release: null };
    };
    expect(await denialOf(issue)).toMatchObject({ reason: "mount_not_allowed" });
    expect(root.isZeroed).toBe(true);
  });
});

describe("a catalogue that is replaced", () => {
  const context = (environment: Record<string, string | undefined>, clock: ManualClock) => ({
    clock,
    environment,
    uid: null,
    warn: () => undefined,
  });

  test("is in force at once: what was added is issued, what was taken out is refused", async () => {
    const { issuer, issue, environment, clock } = start({ environment: { ROOT, OTHER: "other-root" } });
    await issue();
    const other = entryOf({ name: "other", source: { from: "env", variable: "OTHER" } });
    issuer.useCatalogue(issuer.catalogue.succeededBy([other], context(environment, clock)));
    expect(await denialOf(() => issue())).toMatchObject({ reason: "credential_unknown" });
    expect(secretOf((await issue({ credential: "other" })).material).reveal()).toBe("other-root");
  });

  test("keeps the sources of entries that stay as they are, and ends those of the others", async () => {
    const { issuer, environment, clock } = start({
      entries: [entryOf(), entryOf({ name: "b" }), entryOf({ name: "c" })],
    });
    const [key, b, c] = ["key", "b", "c"].map((name) => issuer.catalogue.find(name));
    const closed: string[] = [];
    for (const item of [key, b, c]) if (item !== undefined) item.minter.close = () => void closed.push(item.entry.name);
    const entries = [entryOf({ hosts: ["other.example.com:443"] }), entryOf({ name: "b" })];
    issuer.useCatalogue(issuer.catalogue.succeededBy(entries, context(environment, clock)));
    expect(issuer.catalogue.find("b")).toBe(b);
    expect(issuer.catalogue.find("key")).not.toBe(key);
    expect(closed).toEqual(["key", "c"]);
  });

  test.each([
    ["taken out", [], { reason: "credential_unknown", code: "lease_denied" }],
    ["changed", [entryOf({ tenants: ["globex"] })], { reason: "source_unavailable", code: "custody_unavailable" }],
  ])("while the root is read, of a credential that is then %s: nothing is issued", async (_, entries, refusal) => {
    const { issuer, issue, audit, environment, clock } = start();
    const root = Secret.of(ROOT);
    const item = issuer.catalogue.find("key");
    if (item === undefined) throw new Error("the catalogue has it");
    item.minter.mint = async () => {
      issuer.useCatalogue(issuer.catalogue.succeededBy(entries, context(environment, clock)));
      return { material: { kind: "token", token: root }, expiresAtMs: null, release: null };
    };
    expect(await denialOf(() => issue())).toMatchObject(refusal);
    expect(audit.events.map(({ type }) => type)).toEqual(["lease_refused"]);
    expect(root.isZeroed).toBe(true);
  });

  test("while the issue is recorded, of a credential that is then taken out: nothing is answered", async () => {
    const { issuer, issue, audit, environment, clock } = start();
    const record = audit.record.bind(audit);
    audit.record = async (event) => {
      if (event.type === "lease_issued")
        issuer.useCatalogue(issuer.catalogue.succeededBy([], context(environment, clock)));
      await record(event);
    };
    expect(await denialOf(() => issue())).toMatchObject({ reason: "credential_unknown" });
    expect(audit.events.map(({ type }) => type)).toEqual(["lease_issued", "lease_refused"]);
    expect(issuer.ledger.size).toBe(0);
  });
});
