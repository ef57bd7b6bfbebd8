import { createPublicKey } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { calculateJwkThumbprint, exportJWK, type JWK, jwtVerify } from "jose";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Clock } from "../../../src/core/clock.ts";
import type { MintSpec } from "../../../src/core/mint.ts";
import type { Narrowing } from "../../../src/core/narrow.ts";
import { ManualClock } from "../support/clocks.ts";
import { entryOf, type Issuing, issuing } from "../support/issuing.ts";
import {
  clientCredentialsOf,
  clientOf,
  endpointOf,
  keyPair,
  leaseOf,
  templateOf,
  tokenOf,
} from "../support/minting.ts";
import { DESCRIPTION, OAuth2Server } from "../support/oauth2-server.ts";
import { secretOf } from "../support/secret-of.ts";

/** What every minter is held to, over a server that verifies for real. */

const SECRET = "client:secret & more/0f3a9c";
const keys = { custody: keyPair("ES256"), client: keyPair("EdDSA"), bound: keyPair("EdDSA") };

let server: OAuth2Server;
let folder: string;
let clock: MovingClock;
const running: Issuing[] = [];

/** Real time of day, for signatures that are looked at by others; moved by hand beyond that. */
class MovingClock implements Clock {
  monotonicShiftMs = 0;
  wallShiftMs = 0;

  monotonicMs(): number {
    return performance.now() + this.monotonicShiftMs;
  }

  wallMs(): number {
    return Date.now() + this.wallShiftMs;
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-mint-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

beforeEach(async () => {
  clock = new MovingClock();
  server = await OAuth2Server.start({
    clients: [
      { id: "postern", secret: SECRET, auth: "client_secret_basic", scopes: ["read", "write"] },
      { id: "poster", secret: SECRET, auth: "client_secret_post", scopes: ["read", "write"] },
      { id: "signer", publicKey: keys.client.publicKey, auth: "private_key_jwt", scopes: ["read", "write"] },
      { id: "public", auth: "none", scopes: ["read", "write"] },
    ],
    issuers: { "custody.test": keys.custody.publicKey },
    rotation: "strict",
    nonces: true,
  });
});

afterEach(async () => {
  for (const { issuer } of running.splice(0)) issuer.close();
  await server.stop();
});

interface Case {
  readonly name: string;
  readonly root: () => string;
  readonly mint: () => MintSpec;
  readonly perSession: boolean;
  /** Of a lease. */
  readonly kind?: "dpop";
}

const lists = {
  scopes: ["read", "write"],
  audiences: ["a1", "a2"],
  resources: ["https://r.test/1", "https://r.test/2"],
};
let files = 0;

const CASES: readonly Case[] = [
  {
    name: "client credentials, secret in the header",
    root: () => SECRET,
    mint: () => clientCredentialsOf(server.url, lists),
    perSession: false,
  },
  {
    name: "client credentials, secret in the form",
    root: () => SECRET,
    mint: () =>
      clientCredentialsOf(server.url, { ...lists, client: clientOf({ id: "poster", auth: "client_secret_post" }) }),
    perSession: false,
  },
  {
    name: "client credentials, signed",
    root: () => keys.client.privateKey,
    mint: () =>
      clientCredentialsOf(server.url, {
        ...lists,
        client: clientOf({ id: "signer", auth: "private_key_jwt", algorithm: "EdDSA", keyId: "k" }),
      }),
    perSession: false,
  },
  {
    name: "refresh token",
    root: () => server.grantRefresh("public"),
    mint: () => ({
      as: "oauth2_refresh_token",
      dpop: null,
      endpoint: endpointOf(server.url),
      client: clientOf({ id: "public", auth: "none" }),
      state: join(folder, `state-${files++}`),
      ...lists,
    }),
    perSession: false,
  },
  {
    name: "client credentials, bound",
    root: () => keys.client.privateKey,
    mint: () =>
      clientCredentialsOf(server.url, {
        ...lists,
        client: clientOf({ id: "signer", auth: "private_key_jwt", algorithm: "EdDSA" }),
        dpop: { key: null },
      }),
    perSession: false,
    kind: "dpop",
  },
  {
    name: "refresh token, bound",
    root: () => server.grantRefresh("public"),
    mint: () => ({
      as: "oauth2_refresh_token",
      dpop: { key: { from: "env", variable: "DPOP_KEY" } },
      endpoint: endpointOf(server.url),
      client: clientOf({ id: "public", auth: "none" }),
      state: join(folder, `state-${files++}`),
      ...lists,
    }),
    perSession: false,
    kind: "dpop",
  },
  {
    name: "token exchange of the root",
    root: () => "subject-0f3a9c8e7d",
    mint: () => ({
      as: "oauth2_token_exchange",
      endpoint: endpointOf(server.url),
      client: clientOf({ secret: { from: "env", variable: "CLIENT_SECRET" } }),
      subject: { from: "root", tokenType: "urn:ietf:params:oauth:token-type:access_token" },
      actor: {
        source: { from: "env", variable: "ACTOR" },
        tokenType: "urn:ietf:params:oauth:token-type:access_token",
      },
      ...lists,
    }),
    perSession: false,
  },
  {
    name: "token exchange of the session",
    root: () => keys.custody.privateKey,
    mint: () => ({
      as: "oauth2_token_exchange",
      endpoint: endpointOf(server.url),
      client: clientOf({ id: "public", auth: "none" }),
      subject: { from: "session", template: templateOf({ audiences: [server.url] }) },
      actor: null,
      ...lists,
    }),
    perSession: true,
  },
  {
    name: "JWT bearer",
    root: () => keys.custody.privateKey,
    mint: () => ({
      as: "oauth2_jwt_bearer",
      endpoint: endpointOf(server.url),
      client: clientOf({ id: "public", auth: "none" }),
      template: templateOf({ audiences: [server.url], claims: { sub: "robot" } }),
      ...lists,
    }),
    perSession: false,
  },
];

const SIGNED: Case = {
  name: "signed JWT",
  root: () => keys.custody.privateKey,
  mint: () => ({
    as: "signed_jwt",
    type: "JWT",
    scopes: lists.scopes,
    template: templateOf({ audiences: lists.audiences }),
  }),
  perSession: true,
};

const OUTSIDE: readonly Narrowing[] = [
  { scopes: ["admin"] },
  { scopes: ["read", "admin"] },
  { scopes: ["read write"] },
  { scopes: [] },
  { repositories: ["x"] },
  { constructor: ["x"] },
];

function start({ root, mint, kind }: Case): Issuing {
  const environment = { ROOT: root(), CLIENT_SECRET: SECRET, ACTOR: "actor-0f3a9c", DPOP_KEY: keys.bound.privateKey };
  const bound = kind === undefined ? {} : ({ kind, keyAt: "edge" } as const);
  const parts = issuing({ clock, environment, entries: [entryOf({ mint: mint(), ...bound })] });
  running.push(parts);
  return parts;
}

const session = (id: string) => ({ session: { id, tenant: "acme", workspace: "w", subject: `agent ${id}` } });

describe.each([...CASES, SIGNED])("$name", (one) => {
  const isSigned = one === SIGNED;

  test("a lease brings what was minted, never the root, and no longer than 15 minutes", async () => {
    const parts = start(one);
    const lease = await leaseOf(parts);
    const token = secretOf(lease.material).reveal();
    expect(lease.material.kind).toBe(one.kind ?? "token");
    if (isSigned) await verified(token);
    else expect(server.isIssued(token)).toBe(true);
    expect(lease.ttlMs).toBeLessThanOrEqual(900_000);
    expect(lease.ttlMs).toBeGreaterThan(290_000);
    expect(token).not.toBe(parts.environment["ROOT"]);
  });

  test("sessions share what was minted only where it names none of them", async () => {
    const parts = start(one);
    const first = await tokenOf(parts, session("a"));
    const second = await tokenOf(parts, session("b"));
    expect(first === second).toBe(!one.perSession);
  });

  test("each lease owns its material", async () => {
    const parts = start(one);
    const first = await leaseOf(parts);
    const second = await leaseOf(parts);
    secretOf(first.material).zero();
    expect(secretOf(second.material).reveal()).not.toBe("");
  });

  test("a narrowed lease is asked for narrowed", async () => {
    const parts = start(one);
    const token = await tokenOf(parts, { narrow: { scopes: ["read"], audiences: ["a2"] } });
    if (isSigned) expect(await verified(token)).toMatchObject({ scope: "read", aud: "a2" });
    else {
      const asked = server.issued.find((issued) => issued.token === token)?.form;
      expect(asked?.getAll("scope")).toEqual(["read"]);
      expect(asked?.getAll("audience")).toEqual(["a2"]);
      expect(asked?.getAll("resource")).toEqual(lists.resources);
    }
  });

  test("an issuer that grants a narrowed lease more than it was asked for gives none", async () => {
    if (isSigned) return;
    const parts = start(one);
    server.twist = { scope: "read write" };
    await expect(leaseOf(parts, { narrow: { scopes: ["read"] } })).rejects.toMatchObject({
      code: "custody_unavailable",
    });
    expect(parts.warnings.join("\n")).toContain("grants more scope than it was asked for");
    // What was not narrowed is as wide as the issuer makes it.
    server.twist = { scope: "read write everything" };
    expect(server.isIssued(await tokenOf(parts))).toBe(true);
  });

  test.each(OUTSIDE)(
    "what is not within the entry is refused, and the issuer hears nothing of it: %o",
    async (narrow) => {
      const parts = start(one);
      await expect(leaseOf(parts, { narrow })).rejects.toMatchObject({ reason: "scope_not_allowed" });
      expect(server.requests).toBe(0);
    },
  );

  test("a root that is gone gives no lease", async () => {
    const parts = start(one);
    delete parts.environment["ROOT"];
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(server.requests).toBe(0);
  });

  test("a root that goes ends what was minted of it", async () => {
    const parts = start(one);
    await leaseOf(parts);
    const before = server.requests;
    delete parts.environment["ROOT"];
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(server.requests).toBe(before);
  });

  test("a root that is something else is refused without a word of it", async () => {
    const parts = start(one);
    parts.environment["ROOT"] = "pasted-by-mistake-0f3a9c";
    const denial: unknown = await leaseOf(parts).catch((error: unknown) => error);
    expect(denial).toMatchObject({ reason: "source_unavailable" });
    expect(textOf(denial, parts)).not.toMatch(/pasted|0f3a9c|secret &/);
    expect(textOf(denial, parts)).not.toContain(DESCRIPTION);
  });

  test("a clock that is set back an hour lengthens nothing", async () => {
    server.expiresInS = 300;
    const parts = start(one);
    expect((await leaseOf(parts)).ttlMs).toBeGreaterThan(290_000);
    if (isSigned) return;
    clock.monotonicShiftMs += 200_000;
    clock.wallShiftMs -= 3_600_000;
    expect((await leaseOf(parts)).ttlMs).toBeLessThanOrEqual(100_000);
    expect(server.issued).toHaveLength(1);
  });

  test("a life is counted from before the request left", async () => {
    if (isSigned) return;
    server.expiresInS = 300;
    const parts = start(one);
    server.mood = (request, response) => {
      clock.monotonicShiftMs += 100_000;
      server.mood = "well";
      server.again(request, response);
    };
    expect((await leaseOf(parts)).ttlMs).toBeLessThanOrEqual(200_000);
  });

  test("whoever leaves is let go at once", async () => {
    if (isSigned) return;
    const parts = start(one);
    server.mood = () => undefined;
    const leaving = new AbortController();
    const left = leaseOf(parts, {}, leaving.signal);
    while (server.requests === 0) await turn();
    leaving.abort();
    await expect(left).rejects.toMatchObject({ code: "custody_unavailable" });
  });

  test("once closed it mints nothing", async () => {
    if (isSigned) return;
    const parts = start(one);
    await leaseOf(parts);
    const before = server.requests;
    parts.issuer.close();
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(server.requests).toBe(before);
  });
});

describe("token exchange", () => {
  test("names the actor with its type, and tells the issuer who the session is", async () => {
    const root = caseOf("token exchange of the root");
    const bySession = caseOf("token exchange of the session");
    await tokenOf(start(root));
    expect(server.issued[0]?.form.get("actor_token")).toBe("actor-0f3a9c");
    await tokenOf(start(bySession), session("a"));
    expect(server.issued[1]?.claims).toMatchObject({ sub: "agent a", tenant: "acme", iss: "custody.test" });
  });

  test("of an actor whose token is gone, or is another one, gives nothing of what was kept", async () => {
    const parts = start(caseOf("token exchange of the root"));
    const first = await tokenOf(parts);
    expect(await tokenOf(parts)).toBe(first);
    parts.environment["ACTOR"] = "actor-of-tomorrow";
    expect(await tokenOf(parts)).not.toBe(first);
    delete parts.environment["ACTOR"];
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
  });
});

describe("bound tokens", () => {
  test("are bound to the key that comes with the lease, and nonces are answered without using anything up", async () => {
    const parts = start(caseOf("client credentials, bound"));
    const { material } = await leaseOf(parts);
    if (material.kind !== "dpop" || material.key === null) throw new Error("no bound token");
    const [issued] = server.issued;
    const jwk: unknown = JSON.parse(material.publicJwk);
    expect(await calculateJwkThumbprint(jwk as JWK)).toBe(issued?.boundTo);
    expect(createPublicKey(material.key.reveal()).export({ format: "jwk" })).toEqual(jwk);
    expect(server.refused).toEqual(["use_dpop_nonce"]);
  });

  test("of a public client keep the key that its refresh token is bound to", async () => {
    const parts = start(caseOf("refresh token, bound"));
    await leaseOf(parts);
    clock.monotonicShiftMs += 3_600_000;
    await leaseOf(parts);
    const thumbprint = await calculateJwkThumbprint(await exportJWK(createPublicKey(keys.bound.publicKey)));
    expect(server.issued.map(({ boundTo }) => boundTo)).toEqual([thumbprint, thumbprint]);
    clock.monotonicShiftMs += 3_600_000;
    parts.environment["DPOP_KEY"] = keyPair("ES256").privateKey;
    await expect(leaseOf(parts)).rejects.toMatchObject({ reason: "source_unavailable" });
  });
});

describe("a signed JWT", () => {
  test.each(["EdDSA", "ES256", "RS256", "PS256"] as const)(
    "%s verifies, says who the session is, and ends",
    async (algorithm) => {
      const { publicKey, privateKey } = keyPair(algorithm);
      const template = templateOf({
        algorithm,
        ttlSeconds: 60,
        claims: { sub: "{tenant}/{subject}", sid: "{session}", groups: ["a", "{workspace}"], admin: false, level: 3 },
      });
      const parts = issuing({
        clock: new ManualClock(),
        environment: { ROOT: privateKey },
        entries: [entryOf({ mint: { as: "signed_jwt", type: "at+jwt", scopes: [], template } })],
      });
      const lease = await leaseOf(parts, session('{tenant}"s'));
      const nowS = Date.UTC(2030, 0, 1) / 1000;
      const { payload, protectedHeader } = await jwtVerify(
        secretOf(lease.material).reveal(),
        createPublicKey(publicKey),
        { algorithms: [algorithm], audience: "aud.test", issuer: "custody.test", currentDate: new Date(nowS * 1000) },
      );
      expect(protectedHeader).toEqual({ alg: algorithm, typ: "at+jwt", kid: "k1" });
      expect(payload).toMatchObject({
        sub: 'acme/agent {tenant}"s',
        sid: '{tenant}"s',
        groups: ["a", "w"],
        admin: false,
        level: 3,
        iat: nowS,
        exp: nowS + 60,
      });
      expect(lease.ttlMs).toBe(60_000);
    },
  );

  test.each([
    ["RS256", "ES256"],
    ["ES256", "EdDSA"],
    ["EdDSA", "PS256"],
  ] as const)("a key that cannot sign %s is refused with what would do", async (algorithm, other) => {
    const template = templateOf({ algorithm });
    const parts = issuing({
      clock: new ManualClock(),
      environment: { ROOT: keyPair(other).privateKey },
      entries: [entryOf({ mint: { as: "signed_jwt", type: "JWT", scopes: [], template } })],
    });
    const denial: unknown = await leaseOf(parts).catch((error: unknown) => error);
    expect(textOf(denial, parts)).toContain(`cannot sign ${algorithm}: make one of`);
  });
});

function caseOf(name: string): Case {
  const found = CASES.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no case is named ${name}`);
  return found;
}

async function verified(token: string) {
  const { payload } = await jwtVerify(token, createPublicKey(keys.custody.publicKey), { algorithms: ["ES256"] });
  return payload;
}

/** Everything that a refusal says anywhere. */
function textOf(denial: unknown, { warnings, audit }: Issuing): string {
  const own = denial instanceof Error ? `${denial.message} ${String(denial.cause)}` : String(denial);
  return [own, ...warnings, JSON.stringify(audit.events)].join("\n");
}
