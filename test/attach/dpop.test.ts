import { createHash, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { calculateJwkThumbprint, compactVerify, decodeProtectedHeader, EmbeddedJWK, exportJWK, type JWK } from "jose";
import { describe, expect, test } from "vitest";
import { createAttachPort } from "../../src/attach/attach.ts";
import { LeaseGone } from "../../src/core/lease-denials.ts";
import type { OutboundHead } from "../../src/core/exchange.ts";
import { Fields } from "../../src/core/fields.ts";
import type { Material } from "../../src/core/material.ts";
import type { AttachPort, Injected } from "../../src/core/ports.ts";
import { Secret } from "../../src/core/secret.ts";
import type { AnswerHead } from "../../src/core/wire.ts";
import { DpopKey } from "../../src/custody/minters/dpop-key.ts";
import { WholeBody } from "../../src/core/whole-body.ts";
import { denialOf, destination, headOf, leaseOf, linesOf, NOW_MS, permitFor, requestOf, TOOLS } from "./exchange.ts";

/** Bound tokens on their way out: the proof of each request, as another library reads it. */

const TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
/** RFC 9449 §7.1. */
const ATH = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";
const permit = permitFor(destination([{ as: "dpop" }]));

const KEYS = {
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  EdDSA: generateKeyPairSync("ed25519"),
};

const pemOf = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" });
const keyOf = (alg: keyof typeof KEYS): DpopKey => DpopKey.read(pemOf(KEYS[alg].privateKey)) as DpopKey;

function material(alg: keyof typeof KEYS, change: Partial<Extract<Material, { kind: "dpop" }>> = {}): Material {
  const key = keyOf(alg);
  return { kind: "dpop", token: Secret.of(TOKEN), key: key.pem(), publicJwk: key.publicJwk, ...change };
}

interface Sent {
  readonly authorization: string | null;
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly proof: string;
  readonly injected: Injected;
}

/** What the edge wrote under a name. */
function writtenIn(head: OutboundHead, name: string): string[] {
  return linesOf(head).flatMap((line) => (line.startsWith(`${name}: `) ? [line.slice(name.length + 2)] : []));
}

async function send(
  attach: AttachPort,
  lease: ReturnType<typeof leaseOf>,
  head: OutboundHead = headOf([["Host", "api.example.com"]], "/v1/items?page=2"),
): Promise<Sent> {
  attach.cleanse(permit, head);
  const injected = await attach.attach(permit, lease, head, requestOf(), NOW_MS);
  const [proof = "", ...others] = writtenIn(head, "DPoP");
  const authorizations = writtenIn(head, "Authorization");
  expect([others, authorizations.length]).toEqual([[], 1]);
  const { payload } = await compactVerify(proof, EmbeddedJWK);
  return {
    authorization: authorizations[0] ?? null,
    header: decodeProtectedHeader(proof),
    claims: JSON.parse(Buffer.from(payload).toString()) as Record<string, unknown>,
    proof,
    injected,
  };
}

describe.each(["ES256", "EdDSA"] as const)("%s", (alg) => {
  describe.each(["edge", "custody"] as const)("with the key at the %s", (where) => {
    const make = (): [AttachPort, ReturnType<typeof leaseOf>] => {
      const sign = async (_lease: unknown, input: string): Promise<string> => keyOf(alg).sign(input);
      const attach = createAttachPort({ ...TOOLS, ...(where === "custody" ? { sign } : {}) });
      return [attach, leaseOf(material(alg, where === "custody" ? { key: null } : {}))];
    };

    test("the token goes out with a proof that verifies", async () => {
      const [attach, lease] = make();
      const { authorization, header, claims, injected, proof } = await send(attach, lease);
      expect(authorization).toBe(`DPoP ${TOKEN}`);
      expect(header).toEqual({ typ: "dpop+jwt", alg, jwk: JSON.parse(keyOf(alg).publicJwk) as unknown });
      expect(await calculateJwkThumbprint(header["jwk"] as JWK)).toBe(keyOf(alg).thumbprint);
      expect(claims).toEqual({
        jti: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/),
        htm: "GET",
        htu: "https://api.example.com/v1/items",
        iat: Date.parse("2030-01-02T03:04:05Z") / 1000,
        ath: ATH,
      });
      expect(injected.values).toEqual([`DPoP ${TOKEN}`, TOKEN]);
      expect(injected.once).toEqual([proof]);
    });

    test("each request has a proof of its own", async () => {
      const [attach, lease] = make();
      const ids = new Set<unknown>();
      for (let i = 0; i < 5; i++) ids.add((await send(attach, lease)).claims["jti"]);
      expect(ids.size).toBe(5);
    });
  });
});

test("what the guest says in either field never leaves", () => {
  const attach = createAttachPort(TOOLS);
  const head = headOf([
    ["Host", "api.example.com"],
    ["DPoP", "mine"],
    ["dpop", "mine too"],
    ["Authorization", "DPoP mine"],
  ]);
  attach.cleanse(permit, head);
  expect(linesOf(head)).toEqual(["Host: api.example.com"]);
});

describe("refused as lease_unusable, and nothing is written", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  test.each([
    ["a token that no field holds", { token: Secret.of("a\nb") }],
    ["an empty token", { token: Secret.of("") }],
    ["a key that is none", { key: Secret.of("x") }],
    ["a key of another kind", { key: Secret.of(pemOf(rsa.privateKey)) }],
    ["the key of another token", { key: Secret.of(pemOf(generateKeyPairSync("ed25519").privateKey)) }],
    [
      "a public key that is private",
      { publicJwk: JSON.stringify({ ...JSON.parse(keyOf("EdDSA").publicJwk), d: "x" }) },
    ],
    ["a public key that is none", { publicJwk: "x" }],
  ])("%s", (_what, change) => {
    const head = headOf([]);
    const attach = createAttachPort(TOOLS);
    const lease = leaseOf(material("EdDSA", change));
    const denial = denialOf(() => attach.attach(permit, lease, head, requestOf(), NOW_MS));
    expect(denial?.code).toBe("lease_unusable");
    expect(denial?.detail).not.toMatch(/PRIVATE|Kz~8/);
    expect(linesOf(head)).toEqual([]);
  });

  test("a token that is not bound", () => {
    const lease = leaseOf({ kind: "token", token: Secret.of(TOKEN) });
    const attach = createAttachPort(TOOLS);
    expect(denialOf(() => attach.attach(permit, lease, headOf([]), requestOf(), NOW_MS))?.code).toBe("lease_unusable");
  });
});

describe("custody that signs", () => {
  const lease = () => leaseOf(material("ES256", { key: null }));
  const codeOf = async (sign: () => Promise<string>, target = "/"): Promise<string | undefined> => {
    const head = headOf([], target);
    const attach = createAttachPort({ ...TOOLS, sign });
    const denial = await Promise.resolve(attach.attach(permit, lease(), head, requestOf(), NOW_MS)).then(
      () => null,
      (thrown: unknown) => thrown as { code: string },
    );
    expect(linesOf(head)).toEqual([]);
    return denial?.code;
  };

  test("with something else than a signature", async () => {
    for (const answer of ["", "x", `${"a".repeat(85)}\n`, "a".repeat(87)])
      expect(await codeOf(async () => answer)).toBe("lease_unusable");
  });

  test("not at all", async () => {
    expect(await codeOf(() => Promise.reject(new LeaseGone("unknown")))).toBe("lease_unusable");
  });

  test("is not asked for a path that it would not take", async () => {
    let asked = 0;
    const sign = async (): Promise<string> => String(asked++);
    expect(await codeOf(sign, `/${"a".repeat(13_000)}`)).toBe("signing_unsupported");
    expect(asked).toBe(0);
  });

  test("that nobody knows", async () => {
    const attach = createAttachPort(TOOLS);
    const attaching = attach.attach(permit, lease(), headOf([]), requestOf(), NOW_MS);
    await expect(attaching).rejects.toMatchObject({ code: "internal" });
  });
});

describe("nonces", () => {
  const answer = (status: number, ...lines: readonly (readonly [string, string])[]): AnswerHead => ({
    status,
    reason: "",
    fields: Fields.of(lines),
    length: "none",
  });
  const CHALLENGE = ["WWW-Authenticate", 'DPoP error="use_dpop_nonce", error_description="x"'] as const;

  test("of any answer go into the next proof, and not to the guest", async () => {
    const attach = createAttachPort(TOOLS);
    const lease = leaseOf(material("ES256"));
    const head = answer(200, ["DPoP-Nonce", "n1"], ["X-Other", "1"]);
    expect(attach.observe(permit, lease, head)).toBe(false);
    expect([...head.fields.pairs()]).toEqual([["X-Other", "1"]]);
    expect((await send(attach, lease)).claims["nonce"]).toBe("n1");
    attach.observe(permit, lease, answer(200, ["dpop-nonce", "n2"]));
    expect((await send(attach, lease)).claims["nonce"]).toBe("n2");
    attach.observe(permit, lease, answer(200));
    expect((await send(attach, lease)).claims["nonce"]).toBe("n2");
  });

  test("go on with the next lease of the session, and to no other one", async () => {
    const attach = createAttachPort(TOOLS);
    attach.observe(permit, leaseOf(material("ES256")), answer(200, ["DPoP-Nonce", "n1"]));
    expect((await send(attach, leaseOf(material("ES256")))).claims["nonce"]).toBe("n1");
    const elsewhere = permitFor(destination([{ as: "dpop" }], { name: "other" }));
    const head = headOf([]);
    await attach.attach(elsewhere, leaseOf(material("ES256")), head, requestOf(), NOW_MS);
    const claims = JSON.parse(
      Buffer.from(writtenIn(head, "DPoP")[0]?.split(".")[1] ?? "", "base64url").toString(),
    ) as object;
    expect(claims).not.toHaveProperty("nonce");
  });

  test.each([
    [
      "two",
      [
        ["DPoP-Nonce", "a"],
        ["DPoP-Nonce", "b"],
      ],
    ],
    ["one that no proof can hold", [["DPoP-Nonce", 'a"b']]],
    ["one that is too long", [["DPoP-Nonce", "a".repeat(513)]]],
  ] as const)("%s are none, and no challenge is met with them", async (_what, lines) => {
    const attach = createAttachPort(TOOLS);
    const lease = leaseOf(material("ES256"));
    expect(attach.observe(permit, lease, answer(401, CHALLENGE, ...lines))).toBe(false);
    expect((await send(attach, lease)).claims).not.toHaveProperty("nonce");
  });

  test.each([
    [true, 401, CHALLENGE[1]],
    [true, 401, 'Bearer realm="x", DPoP algs="ES256", error="use_dpop_nonce"'],
    [true, 401, "dpop error=use_dpop_nonce"],
    [false, 401, 'DPoP error="invalid_token"'],
    [false, 401, 'Bearer error="use_dpop_nonce"'],
    [false, 401, 'DPoP error="use_dpop_nonce_not"'],
    [false, 400, CHALLENGE[1]],
    [false, 403, CHALLENGE[1]],
  ])("asks for another proof: %s, %i %s", (asks, status, challenge) => {
    const attach = createAttachPort(TOOLS);
    const head = answer(status, ["WWW-Authenticate", challenge], ["DPoP-Nonce", "n"]);
    expect(attach.observe(permit, leaseOf(material("ES256")), head)).toBe(asks);
  });
});

test("small bodies of known length are held, so that a challenge can be met; others are relayed as they come", () => {
  const attach = createAttachPort(TOOLS);
  const ask = {
    method: "POST",
    scheme: "https",
    authority: permit.authority,
    target: "/",
    fields: Fields.of([]),
  } as const;
  const held = (length: WholeBody["length"]): number | null =>
    attach.wholeBodyBytes(permit, ask, Object.assign(new WholeBody(Buffer.alloc(0)), { length }));
  expect(attach.demands(permit)).toEqual({ body: true, identity: false, answers: true });
  expect([held(1), held(65_536), held(65_537), held("stream"), held("none")]).toEqual([
    65_536,
    65_536,
    null,
    null,
    null,
  ]);
});

test("jose makes of a key what the house makes of it", async () => {
  for (const { privateKey } of Object.values(KEYS)) {
    const key = DpopKey.read(pemOf(privateKey)) as DpopKey;
    const jwk = await exportJWK(createPublicKey(privateKey));
    expect(JSON.parse(key.publicJwk)).toEqual(jwk);
    expect(key.thumbprint).toBe(await calculateJwkThumbprint(jwk));
  }
  expect(createHash("sha256").update(TOKEN).digest("base64url")).toBe(ATH);
});
