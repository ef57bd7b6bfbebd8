import { createPublicKey, verify } from "node:crypto";
import { beforeEach, describe, expect, test } from "vitest";
import { LeaseRefusal } from "../../src/core/custody.ts";
import { Secret } from "../../src/core/secret.ts";
import { SignLeases } from "../../src/custody/sign-leases.ts";
import { BoundToken } from "./support/bound-token.ts";
import { ManualClock } from "./support/clocks.ts";
import { entryOf } from "./support/issuing.ts";
import { grantOf, requestOf } from "./support/permits.ts";

/** Keys that custody keeps: what it signs with them, for whom, and that it signs nothing else. */

let clock: ManualClock;
let warnings: string[];
let signing: SignLeases;
let bound: BoundToken;
let isInForce: boolean;

beforeEach(() => {
  clock = new ManualClock();
  warnings = [];
  signing = new SignLeases(clock, (text) => warnings.push(text));
  bound = new BoundToken();
  isInForce = true;
});

const entry = entryOf({ kind: "dpop", keyAt: "custody" });
const now = (): number => Math.floor(clock.wallMs() / 1000);
const input = (change: Parameters<BoundToken["input"]>[0] = {}): string => bound.input({ iat: now(), ...change });

function keep(keyAt: "custody" | "edge" = "custody", change: object = {}) {
  const material = {
    kind: "dpop",
    token: Secret.of(bound.token),
    key: bound.key.pem(),
    publicJwk: bound.key.publicJwk,
    ...change,
  } as const;
  const grant = grantOf(requestOf(), { leaseId: "lease-a", material, ttlMs: 60_000 });
  return { material, kept: signing.keep("edge-1", { ...entry, keyAt }, grant, grant.ttlMs, () => isInForce) };
}

function reasonOf(sign: () => unknown): string | null {
  try {
    sign();
    return null;
  } catch (thrown) {
    if (thrown instanceof LeaseRefusal) return thrown.reason;
    throw thrown;
  }
}

const sign = (text = input(), caller = "edge-1", leaseId = "lease-a"): string | null =>
  reasonOf(() => signing.sign(caller, leaseId, text));

describe("a grant", () => {
  test("leaves without the key, which is zeroed, and its lease signs", () => {
    const { material, kept } = keep();
    expect(kept.material).toMatchObject({ kind: "dpop", key: null, publicJwk: bound.key.publicJwk });
    expect(material.key.isZeroed).toBe(true);
    expect(material.token.isZeroed).toBe(false);
    const text = input();
    const signature = Buffer.from(signing.sign("edge-1", "lease-a", text), "base64url");
    const key = createPublicKey({ key: JSON.parse(bound.key.publicJwk) as Record<string, string>, format: "jwk" });
    expect(verify("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }, signature)).toBe(true);
  });

  test("whose key goes to the edge is as it was, and nothing signs here", () => {
    const { material, kept } = keep("edge");
    expect(kept.material).toBe(material);
    expect(material.key.isZeroed).toBe(false);
    expect(sign()).toBe("lease_unknown");
  });

  test("of another kind is as it was", () => {
    const grant = grantOf(requestOf());
    expect(signing.keep("edge-1", entryOf(), grant, grant.ttlMs, () => true)).toBe(grant);
  });

  test.each([
    ["without a key", { key: null }],
    ["with a key that signs nothing", { key: Secret.of("x") }],
  ])("%s is none, and its token is zeroed", (_what, change) => {
    const token = Secret.of("t");
    expect(reasonOf(() => keep("custody", { ...change, token }))).toBe("source_unavailable");
    expect(token.isZeroed).toBe(true);
    expect(sign()).toBe("lease_unknown");
  });
});

describe("a lease signs", () => {
  beforeEach(() => void keep());

  test("for nobody but who it was issued to", () => {
    expect(sign()).toBeNull();
    expect(sign(input(), "edge-2")).toBe("lease_unknown");
    expect(sign(input(), "edge-1", "lease-b")).toBe("lease_unknown");
  });

  test("as long as it lives", () => {
    clock.advance(59_999);
    expect(sign()).toBeNull();
    clock.advance(1);
    expect(sign()).toBe("lease_unknown");
  });

  test("not once it has ended before its time", () => {
    signing.end("lease-a");
    expect(sign()).toBe("lease_unknown");
  });

  test("not once its credential is another one", () => {
    isInForce = false;
    expect(sign()).toBe("lease_unknown");
  });

  test("not after custody closed", () => {
    signing.close();
    expect(sign()).toBe("lease_unknown");
  });

  test("so often and no more, and again after a while", () => {
    let signed = 0;
    while (sign() === null && signed < 1_000) signed++;
    expect(signed).toBe(400);
    expect(sign()).toBe("overloaded");
    clock.advance(100);
    for (let i = 0; i < 20; i++) expect(sign()).toBeNull();
    expect(sign()).toBe("overloaded");
  });

  test.each([
    "https://api.example.com/",
    "https://api.example.com",
    "https://api.example.com/v1/a%2Fb",
    "http://api.example.com:443/v1",
  ])("for %s", (htu) => {
    expect(sign(input({ htu }))).toBeNull();
  });
});

describe("it is no oracle: refused, told once, and nothing is signed", () => {
  beforeEach(() => void keep());

  const base64url = (text: string): string => Buffer.from(text).toString("base64url");
  test.each([
    ["another host", () => input({ htu: "https://evil.example.com/v1" })],
    ["a host that begins like it", () => input({ htu: "https://api.example.com.evil.test/v1" })],
    ["another port", () => input({ htu: "https://api.example.com:8443/v1" })],
    ["the port of another scheme", () => input({ htu: "http://api.example.com/v1" })],
    ["a port that says what the scheme says", () => input({ htu: "https://api.example.com:443/v1" })],
    ["another token", () => input({ ath: new BoundToken("another").ath })],
    ["no token: a token endpoint", () => input({ ath: null })],
    ["a proof for later", () => input({ iat: now() + 121 })],
    ["a proof of before", () => input({ iat: now() - 122 })],
    ["another key", () => bound.input({ iat: now() }, new BoundToken().key.public)],
    ["an ID token", () => `${base64url('{"alg":"ES256","typ":"JWT"}')}.${base64url('{"sub":"root"}')}`],
    ["a client assertion", () => `${input().split(".")[0] ?? ""}.${base64url('{"iss":"c","sub":"c","aud":"x"}')}`],
    ["a claim more", () => `${input().split(".")[0] ?? ""}.${base64url('{"jti":"j","sub":"x"}')}`],
    ["plain bytes", () => "GET / HTTP/1.1"],
    ["nothing", () => ""],
  ])("%s", (_what, text) => {
    expect(sign(text())).toBe("input_unfit");
    expect(sign(text())).toBe("input_unfit");
    expect(warnings).toEqual([
      "edge-1: asked lease lease-a to sign what is no proof of it: look at that edge and its clock",
    ]);
  });
});

test("leases that are over make room, and where there is none a lease is refused", () => {
  const three = new SignLeases(clock, () => undefined, 3);
  const reason = (leaseId: string, ttlMs: number): string | null => {
    const material = {
      kind: "dpop",
      token: Secret.of("t"),
      key: bound.key.pem(),
      publicJwk: bound.key.publicJwk,
    } as const;
    return reasonOf(() =>
      three.keep("edge-1", entry, grantOf(requestOf(), { leaseId, material, ttlMs }), ttlMs, () => true),
    );
  };
  expect(["a", "b", "c"].map((id, i) => reason(id, 60_000 - i * 10_000))).toEqual([null, null, null]);
  expect(reason("d", 60_000)).toBe("overloaded");
  clock.advance(40_000);
  expect(reason("e", 60_000)).toBeNull();
  expect(reason("f", 60_000)).toBe("overloaded");
  clock.advance(60_000);
  expect(["g", "h", "i"].map((id) => reason(id, 60_000))).toEqual([null, null, null]);
});
