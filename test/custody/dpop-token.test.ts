import { generateKeyPairSync } from "node:crypto";
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify, type JWK, SignJWT } from "jose";
import { describe, expect, test } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import { DpopKey, type TokenAnswer, TokenEndpointProofs } from "../../src/custody/minters/dpop-key.ts";
import { dpopToken } from "../../src/custody/minters/dpop-token.ts";
import { SourceError, type SourceReading } from "../../src/custody/sources/source.ts";

/** Bound tokens from a source, and the keys of minters that ask a token endpoint for them. */

const WALL_MS = Date.UTC(2030, 0, 1);
const clock = { monotonicMs: () => 5_000, wallMs: () => WALL_MS };
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const okp = generateKeyPairSync("ed25519").privateKey;
const pemOf = (key: typeof ec): string => key.export({ type: "pkcs8", format: "pem" });

function minted(root: unknown, expiresAtMs: number | null = null) {
  const secret = Secret.of(typeof root === "string" ? root : JSON.stringify(root));
  const reading: SourceReading = { username: null, secret, expiresAtMs };
  const result = dpopToken("bank", reading, clock);
  if (result.material.kind !== "dpop") throw new Error(result.material.kind);
  return { ...result, material: result.material, root: secret };
}

async function jwt(claims: Readonly<Record<string, unknown>>): Promise<string> {
  return await new SignJWT(claims).setProtectedHeader({ alg: "ES256" }).sign(ec);
}

describe("a root of token and key", () => {
  test.each([
    ["a JWK on P-256", { token: "t", private_jwk: ec.export({ format: "jwk" }) }, ec],
    ["a JWK on Ed25519", { token: "t", private_jwk: okp.export({ format: "jwk" }) }, okp],
    ["a JWK with a kid", { token: "t", private_jwk: { ...okp.export({ format: "jwk" }), kid: "1", use: "sig" } }, okp],
    ["PEM", { token: "t", private_key: pemOf(ec) }, ec],
    ["PEM of its own form", { token: "t", private_key: ec.export({ type: "sec1", format: "pem" }) }, ec],
  ])("with %s", async (_form, root, key) => {
    const { material, root: secret, release, expiresAtMs } = minted(root);
    expect(material.token.reveal()).toBe("t");
    expect(material.key?.reveal()).toBe(pemOf(key));
    const jwk = JSON.parse(material.publicJwk) as JWK;
    expect(Object.keys(jwk).toSorted()).toEqual(key === ec ? ["crv", "kty", "x", "y"] : ["crv", "kty", "x"]);
    expect(await calculateJwkThumbprint(jwk)).toBe(DpopKey.read(pemOf(key))?.thumbprint);
    expect([secret.isZeroed, release, expiresAtMs]).toEqual([true, null, null]);
  });

  test("a JWT is good as long as it says, and never longer than its source says", async () => {
    const token = await jwt({ exp: WALL_MS / 1000 + 60 });
    const root = { token, private_key: pemOf(ec) };
    expect(minted(root).expiresAtMs).toBe(65_000);
    expect(minted(root, 30_000).expiresAtMs).toBe(30_000);
    expect(minted(root, 90_000).expiresAtMs).toBe(65_000);
  });

  test("a JWT that is bound to this key", async () => {
    const jkt = DpopKey.read(pemOf(ec))?.thumbprint ?? "";
    const token = await jwt({ cnf: { jkt } });
    expect(minted({ token, private_key: pemOf(ec) }).material.token.reveal()).toBe(token);
    expect(() => minted({ token, private_key: pemOf(okp) })).toThrow(/bound to another key/);
  });

  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
  test.each([
    ["no JSON", "t", /yields no bound token/],
    ["a list", "[]", /yields no bound token/],
    ["no token", { private_key: pemOf(ec) }, /yields no bound token/],
    ["an empty token", { token: "", private_key: pemOf(ec) }, /yields no bound token/],
    ["no key", { token: "t" }, /yields no bound token/],
    ["two keys", { token: "t", private_key: pemOf(ec), private_jwk: {} }, /yields no bound token/],
    ["a public JWK", { token: "t", private_jwk: { kty: "EC", crv: "P-256" } }, /key that makes no proofs/],
    ["a JWK that is a text", { token: "t", private_jwk: "x" }, /key that makes no proofs/],
    ["PEM that is a number", { token: "t", private_key: 7 }, /key that makes no proofs/],
    ["an RSA key", { token: "t", private_key: pemOf(rsa) }, /P-256 or Ed25519/],
    ["another curve", { token: "t", private_jwk: p384.export({ format: "jwk" }) }, /P-256 or Ed25519/],
    [
      "an encrypted key",
      { token: "t", private_key: ec.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "p" }) },
      /unencrypted/,
    ],
  ])("refused with %s, and nothing of it is said", (_what, root, message) => {
    const error = (() => {
      try {
        minted(root);
        return null;
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(SourceError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toMatch(/BEGIN PRIVATE|"d"/);
  });
});

describe("proofs for a token endpoint", () => {
  const tools = { clock, randomBytes: (size: number) => Buffer.alloc(size, ++drawn) };
  let drawn = 0;
  const url = new URL("https://issuer.example.com/oauth/token?x=1#y");

  const asking = (answers: readonly TokenAnswer[]) => {
    const proofs: string[] = [];
    const post = async (proof: string): Promise<TokenAnswer> => {
      proofs.push(proof);
      return answers[proofs.length - 1] ?? { status: 200, nonce: null, error: null };
    };
    return { proofs, post };
  };
  const read = async (proof = "") =>
    (await jwtVerify(proof, EmbeddedJWK, { typ: "dpop+jwt", algorithms: ["ES256"], currentDate: new Date(WALL_MS) }))
      .payload;

  test("one that a server takes, without a token", async () => {
    const proofs = new TokenEndpointProofs(DpopKey.generate(), url, tools);
    const asked = asking([]);
    expect(await proofs.post(asked.post)).toMatchObject({ status: 200 });
    expect(await read(asked.proofs[0])).toEqual({
      jti: expect.any(String),
      htm: "POST",
      htu: "https://issuer.example.com/oauth/token",
      iat: WALL_MS / 1000,
    });
  });

  test("a nonce that is asked for is met once, and remembered", async () => {
    const proofs = new TokenEndpointProofs(DpopKey.generate(), url, tools);
    const asked = asking([{ status: 400, nonce: "n1", error: "use_dpop_nonce" }]);
    expect(await proofs.post(asked.post)).toMatchObject({ status: 200 });
    expect(await proofs.post(asked.post)).toMatchObject({ status: 200 });
    const nonces = await Promise.all(asked.proofs.map(async (proof) => (await read(proof))["nonce"]));
    expect(nonces).toEqual([undefined, "n1", "n1"]);
    const ids = await Promise.all(asked.proofs.map(async (proof) => (await read(proof)).jti));
    expect(new Set(ids).size).toBe(3);
  });

  test("asked for again and again: the second answer is the answer", async () => {
    const proofs = new TokenEndpointProofs(DpopKey.generate(), url, tools);
    const asked = asking([
      { status: 400, nonce: "n1", error: "use_dpop_nonce" },
      { status: 400, nonce: "n2", error: "use_dpop_nonce" },
    ]);
    expect(await proofs.post(asked.post)).toMatchObject({ status: 400 });
    expect(asked.proofs).toHaveLength(2);
  });

  test.each([
    ["without a nonce", { status: 400, nonce: null, error: "use_dpop_nonce" }],
    ["with one that no proof can hold", { status: 400, nonce: 'a"b', error: "use_dpop_nonce" }],
    ["for another reason", { status: 400, nonce: "n", error: "invalid_grant" }],
    ["with another status", { status: 500, nonce: "n", error: "use_dpop_nonce" }],
  ])("a refusal %s is the answer", async (_how, answer) => {
    const proofs = new TokenEndpointProofs(DpopKey.generate(), url, tools);
    const asked = asking([answer]);
    expect(await proofs.post(asked.post)).toEqual(answer);
    expect(asked.proofs).toHaveLength(1);
  });
});
