import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Authority } from "../../src/core/authority.ts";
import {
  htuOf,
  isNonce,
  jwkText,
  type ProofClaims,
  type ProofKey,
  proofInput,
  proofKeyOf,
  readProofInput,
} from "../../src/core/dpop-proof.ts";

/** Proofs up to their signature: what is made, and that nothing else is read. */

/** RFC 9449 §4.1. */
const EC: ProofKey = {
  kty: "EC",
  crv: "P-256",
  x: "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
  y: "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
};
/** RFC 8037 A.2. */
const OKP: ProofKey = { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" };
const CLAIMS: ProofClaims = {
  jti: "e1j3V_bKic8-LAEB",
  htm: "GET",
  htu: "https://resource.example.org/protectedresource",
  iat: 1_562_262_618,
  ath: "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo",
  nonce: null,
};

const partsOf = (input: string): unknown[] =>
  input.split(".").map((part) => JSON.parse(Buffer.from(part, "base64url").toString()) as unknown);
const base64url = (text: string): string => Buffer.from(text).toString("base64url");

test("RFC 9449 §7.1: header and claims of its proof", () => {
  expect(partsOf(proofInput(EC, CLAIMS))).toEqual([
    { typ: "dpop+jwt", alg: "ES256", jwk: EC },
    {
      jti: "e1j3V_bKic8-LAEB",
      htm: "GET",
      htu: "https://resource.example.org/protectedresource",
      iat: 1_562_262_618,
      ath: "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo",
    },
  ]);
});

test("an Ed25519 key, a nonce, no token yet", () => {
  expect(partsOf(proofInput(OKP, { ...CLAIMS, ath: null, nonce: "n-0S6_WzA2Mj" }))).toEqual([
    { typ: "dpop+jwt", alg: "EdDSA", jwk: OKP },
    { jti: CLAIMS.jti, htm: "GET", htu: CLAIMS.htu, iat: CLAIMS.iat, nonce: "n-0S6_WzA2Mj" },
  ]);
});

test.each([
  ["RFC 9449 §6.1", EC, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"],
  ["RFC 8037 A.3", OKP, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"],
])("%s: the thumbprint", (_where, key, thumbprint) => {
  expect(createHash("sha256").update(jwkText(key)).digest("base64url")).toBe(thumbprint);
});

describe("a key", () => {
  test.each([
    ["a private part", { ...EC, d: "x" }],
    ["a kid", { ...OKP, kid: "1" }],
    ["another curve", { ...EC, crv: "P-384" }],
    ["RSA", { kty: "RSA", n: "AQAB", e: "AQAB" }],
    ["a shared one", { kty: "oct", k: "AQAB" }],
    ["half a point", { kty: "EC", crv: "P-256", x: EC.x }],
    ["a short coordinate", { ...EC, x: "AQAB" }],
    ["no object", "x"],
    ["null", null],
  ])("with or of %s is none", (_what, jwk) => {
    expect(proofKeyOf(jwk)).toBeNull();
  });
});

describe("a signing input is read", () => {
  test("back to what it was made of", () => {
    const claims = fc.record({
      jti: fc.stringMatching(/^[A-Za-z0-9_-]{1,128}$/),
      htm: fc.constantFrom("GET", "POST", "QUERY", "X!"),
      htu: fc.constantFrom("https://a.test/", "http://[2001:db8::1]:8080/a%20b", 'https://a.test:8443/x"y\\z'),
      iat: fc.nat(),
      ath: fc.constantFrom(null, CLAIMS.ath),
      nonce: fc.constantFrom(null, "abc", "~!"),
    });
    fc.assert(
      fc.property(fc.constantFrom(EC, OKP), claims, (key, made) => {
        expect(readProofInput(proofInput(key, made))).toEqual({ key, claims: made });
      }),
    );
  });

  const header = `{"typ":"dpop+jwt","alg":"ES256","jwk":${jwkText(EC)}}`;
  const claims = JSON.stringify({ jti: "j", htm: "GET", htu: "https://a.test/", iat: 1 });
  const changed = (from: string, to: string) => claims.replace(from, to);

  test("only where it is the one text of its meaning", () => {
    expect(readProofInput(`${base64url(header)}.${base64url(claims)}`)).not.toBeNull();
  });

  test.each([
    ["another typ", header.replace("dpop+jwt", "JWT"), claims],
    ["another alg", header.replace("ES256", "none"), claims],
    ["the alg of another key", header.replace("ES256", "EdDSA"), claims],
    ["more in the header", header.replace("{", '{"crit":["x"],'), claims],
    ["a private key", header.replace('"kty"', '"d":"x","kty"'), claims],
    ["a member twice", header, changed('"jti":"j"', '"jti":"i","jti":"j"')],
    ["a blank", header, changed(",", ", ")],
    ["another order", header, '{"htm":"GET","jti":"j","htu":"https://a.test/","iat":1}'],
    ["another claim", header, changed("}", ',"sub":"root"}')],
    ["no htu", header, changed(',"htu":"https://a.test/"', "")],
    ["a query", header, changed("a.test/", "a.test/?x=1")],
    ["a fragment", header, changed("a.test/", "a.test/#x")],
    ["user info", header, changed("a.test/", "b@a.test/")],
    ["another scheme", header, changed("https:", "file:")],
    ["upper case", header, changed("a.test", "A.test")],
    ["half a second", header, changed(":1}", ":1.5}")],
    ["a method that is none", header, changed("GET", "G T")],
    ["an escaped letter", header, changed("GET", String.raw`\u0047ET`)],
    ["a list", header, "[]"],
    ["null", header, "null"],
    ["nothing", header, ""],
  ])("not with %s", (_what, first, second) => {
    expect(readProofInput(`${base64url(first)}.${base64url(second)}`)).toBeNull();
  });

  test.each([
    "",
    ".",
    "..",
    `${base64url(header)}.${base64url(claims)}.`,
    `${base64url(header)}=.${base64url(claims)}`,
  ])("not %j", (input) => {
    expect(readProofInput(input)).toBeNull();
  });

  test("or not at all, whatever comes", () => {
    fc.assert(fc.property(fc.string(), (text) => void expect(readProofInput(text)).toBeNull()));
  });
});

describe("the target URI", () => {
  test.each([
    ["https", "api.test:443", "/v1/items?a=1", "https://api.test/v1/items"],
    ["https", "api.test:8443", "/v1?a=/b?c", "https://api.test:8443/v1"],
    ["http", "api.test:80", "/", "http://api.test/"],
    ["http", "api.test:443", "/a%2Fb;c", "http://api.test:443/a%2Fb;c"],
    ["https", "[2001:db8::1]:443", "/x", "https://[2001:db8::1]/x"],
    ["https", "api.test:443", "*", "https://api.test"],
    ["https", "api.test:443", "/caf\u00e9", "https://api.test/caf%E9"],
  ] as const)("%s of %s and %s", (scheme, authority, target, uri) => {
    expect(htuOf(scheme, Authority.parse(authority, null) as Authority, target)).toBe(uri);
  });
});

test.each([
  ["abc", true],
  ["", false],
  ['a"b', false],
  ["a\\b", false],
  ["a b", false],
  ["a".repeat(513), false],
])("nonce %j: %s", (text, fits) => {
  expect(isNonce(text)).toBe(fits);
});
