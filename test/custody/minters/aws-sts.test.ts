import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { AwsAssumeRoleMint, AwsWebIdentityMint } from "../../../src/core/mint-cloud.ts";
import { roleSessionName } from "../../../src/custody/minters/aws-session.ts";
import { temporaryKeys } from "../../../src/custody/minters/aws-sts-answer.ts";
import { signedPost } from "../../../src/custody/minters/aws-sts-signing.ts";
import { JwtKey } from "../../../src/custody/minters/sign-jwt.ts";
import { Secret } from "../../../src/core/secret.ts";
import { aws4Post } from "../support/aws4.ts";
import { ShiftedClock } from "../support/clocks.ts";
import { entryOf, type Issuing, issuing } from "../support/issuing.ts";
import { endpointOf, keyPair, leaseOf, tokenOf } from "../support/minting.ts";
import { StsServer } from "../support/sts-server.ts";

const SUITE = {
  accessKeyId: "AKIDEXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
  sessionToken: null,
};
const SUITE_TIME = Date.UTC(2015, 7, 30, 12, 36, 0);
const suite = { host: "example.amazonaws.com", region: "us-east-1", service: "service" };

describe("signing", () => {
  test.each([
    ["post-vanilla", {}, "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"],
    [
      "post-x-www-form-urlencoded",
      { "content-type": "application/x-www-form-urlencoded" },
      "Param1=value1",
      "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ],
  ])("%s of AWS's own suite", (_name, headers, body, signature) => {
    const signed = signedPost({ ...suite, headers, body }, SUITE, SUITE_TIME);
    expect(signed["authorization"]).toContain(`Signature=${signature}`);
    expect(signed["x-amz-date"]).toBe("20150830T123600Z");
  });

  test("is what another implementation makes of the same", () => {
    const word = fc.stringMatching(/^[A-Za-z0-9+/=.-]{1,40}$/);
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 200 }),
        word,
        fc.option(word),
        fc.integer({ min: 0, max: 4e12 }),
        fc.constantFrom("us-east-1", "eu-central-1", "cn-north-1"),
        (body, secretAccessKey, sessionToken, wallMs, region) => {
          const keys = { accessKeyId: "AKIDEXAMPLE", secretAccessKey };
          const headers = {
            "content-type": "application/x-www-form-urlencoded; charset=utf-8",
            accept: "application/json",
          };
          const text = encodeURIComponent(body.toWellFormed());
          const request = { host: "sts.test:8443", region, service: "sts", headers, body: text };
          const { authorization = "", ...rest } = signedPost(request, { ...keys, sessionToken }, wallMs);
          expect(authorization).toBe(aws4Post({ ...rest, host: request.host }, text, request, keys));
        },
      ),
    );
  });
});

describe("the name of a role's session", () => {
  test("is the session's id where AWS takes it, else one like it that is nobody else's", () => {
    const of = (id: string, tenant = "acme"): string => roleSessionName({ id, tenant, workspace: "w", subject: "s" });
    expect(of("run-42@ci")).toBe("run-42@ci");
    expect(of("a/b")).toMatch(/^a-b-[0-9a-f]{12}$/);
    expect(of("a/b")).not.toBe(of("a b"));
    expect(of("a/b")).not.toBe(of("a/b", "globex"));
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (id) => {
        expect(of(id.toWellFormed())).toMatch(/^[\w+=,.@-]{2,64}$/);
      }),
    );
  });
});

describe("an answer in XML", () => {
  const answerOf = (text: string, status = 200) => ({
    status,
    json: null,
    text,
    retryAfterMs: null,
    serverWallMs: null,
    header: () => null,
  });
  const credentials = (inner: string): string =>
    `<AssumeRoleResponse xmlns="x"><AssumeRoleResult><Credentials>${inner}</Credentials></AssumeRoleResult></AssumeRoleResponse>`;
  const end = "<Expiration>2030-01-01T00:15:00Z</Expiration>";
  const token = "<SessionToken>a&amp;b&lt;</SessionToken>";
  const good = `<AccessKeyId>ASIAEXAMPLEEXAMPLE</AccessKeyId><SecretAccessKey> s+/= </SecretAccessKey>${token}${end}`;

  test("is read with its entities", () => {
    const keys = temporaryKeys(answerOf(credentials(good)), "AssumeRole", "STS");
    expect(keys.sessionToken.reveal()).toBe("a&b<");
    expect(keys.secretAccessKey.reveal()).toBe("s+/=");
    expect(keys.expiresWallMs).toBe(Date.UTC(2030, 0, 1, 0, 15));
  });

  test.each([
    ["two of one name", credentials(`${good}<SessionToken>x</SessionToken>`)],
    ["two credentials", credentials(good) + credentials(good)],
    ["an element within a text", credentials(good.replace("a&amp;b", "<b>x</b>"))],
    ["an entity of its own", credentials(good.replace("&amp;", "&x;"))],
    ["a number for a character", credentials(good.replace("&amp;", "&#38;"))],
    ["an end that is missing", credentials(good).replace("</Credentials>", "")],
    ["a comment", credentials(good.replace("a&amp;b", "<!-- x -->"))],
    ["attributes", credentials(good.replace("<SessionToken>", '<SessionToken a="b">'))],
    ["HTML", "<!DOCTYPE html><html></html>"],
  ])("with %s is none", (_name, text) => {
    expect(() => temporaryKeys(answerOf(text), "AssumeRole", "STS")).toThrow(/no answer of STS|without keys/);
  });

  test("never breaks the reader", () => {
    const piece = fc.constantFrom(
      "<Credentials>",
      "</Credentials>",
      "<AssumeRoleResponse>",
      "<SessionToken>",
      "&amp;",
      "x",
      "<",
      ">",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        expect(() => temporaryKeys(answerOf(pieces.join("")), "AssumeRole", "STS")).toThrow(/STS/);
      }),
    );
  });
});

const ROLE = "arn:aws:iam::123456789012:role/agents";
const identity = keyPair("ES256");
let clock: ShiftedClock;
let server: StsServer;
const running: Issuing[] = [];

beforeEach(async () => {
  clock = new ShiftedClock();
  const keys = {
    AKIDEXAMPLE: { secret: SUITE.secretAccessKey },
    ASIATEMPORARY: { secret: "tmp+/=", token: "session-tok" },
  };
  server = await new StsServer({ region: "eu-central-1", keys, role: ROLE, identityKey: identity.publicKey }).listen();
});
afterEach(async () => {
  for (const { issuer } of running.splice(0)) issuer.close();
  await server.stop();
});

const role = () => ({
  endpoint: endpointOf(`${server.origin}/`),
  role: ROLE,
  durationSeconds: 900,
  policy: null,
  policyArns: [],
});

function start(
  root: string,
  change: Partial<AwsAssumeRoleMint> | AwsWebIdentityMint = {},
  keyId: string | null = null,
): Issuing {
  const mint =
    change.as === "aws_sts_web_identity"
      ? change
      : {
          as: "aws_sts_assume_role" as const,
          region: "eu-central-1",
          externalId: null,
          sourceIdentity: null,
          tags: {},
          ...role(),
          ...change,
        };
  const parts = issuing({ clock, environment: { ROOT: root }, entries: [entryOf({ kind: "aws", keyId, mint })] });
  running.push(parts);
  return parts;
}

describe("AWS STS", () => {
  test("takes the secret key of key_id, temporary keys as a root, and answers in XML", async () => {
    server.speaksXml = true;
    expect(server.isIssued(await tokenOf(start(SUITE.secretAccessKey, {}, "AKIDEXAMPLE")))).toBe(true);
    const temporary = { AccessKeyId: "ASIATEMPORARY", SecretAccessKey: "tmp+/=", SessionToken: "session-tok" };
    const lease = await leaseOf(start(JSON.stringify(temporary)));
    expect(lease.material).toMatchObject({ kind: "aws", accessKeyId: expect.stringMatching(/^ASIA/) as string });
    expect(lease.ttlMs).toBeLessThanOrEqual(900_000);
    expect(lease.ttlMs).toBeGreaterThan(890_000);
  });

  test("hears who the session is", async () => {
    const parts = start(
      SUITE.secretAccessKey,
      { sourceIdentity: "{subject}", tags: { tenant: "{tenant}", team: "x y" } },
      "AKIDEXAMPLE",
    );
    await leaseOf(parts, { session: { id: "run/1", tenant: "acme", workspace: "w", subject: "ann@acme" } });
    const form = Object.fromEntries(server.forms[0] ?? []);
    expect(form).toMatchObject({
      SourceIdentity: "ann@acme",
      "Tags.member.1.Key": "tenant",
      "Tags.member.1.Value": "acme",
      "Tags.member.2.Value": "x y",
      DurationSeconds: "900",
    });
    expect(form["RoleSessionName"]).toMatch(/^run-1-/);
    expect(form["Policy"]).toBeUndefined();
  });

  test("is not asked for a session whose claims AWS would not take, and the next session is served", async () => {
    const parts = start(SUITE.secretAccessKey, { tags: { tenant: "{tenant}" } }, "AKIDEXAMPLE");
    const of = (tenant: string) => ({ session: { id: "s", tenant, workspace: "w", subject: "a" } });
    await expect(leaseOf(parts, of("ac*me"))).rejects.toMatchObject({ reason: "source_unavailable" });
    expect(parts.warnings.join("\n")).toMatch(/its tag tenant characters that AWS does not take/);
    expect(server.requests).toBe(0);
    await leaseOf(parts, of("acme"));
  });

  test.each([
    ["another region", { region: "us-east-1" }, 0, /SignatureDoesNotMatch\): check the secret access key and region/],
    ["another clock", {}, 400_000, /RequestExpired\): compare the clocks/],
    ["another role", { role: `${ROLE}-2` }, 0, /AccessDenied\)/],
  ])("of %s refuses by name", async (_name, change, shiftMs, says) => {
    for (const isXml of [false, true]) {
      server.speaksXml = isXml;
      clock.wallShiftMs = shiftMs;
      const parts = start(SUITE.secretAccessKey, change, "AKIDEXAMPLE");
      await expect(leaseOf(parts)).rejects.toThrow();
      expect(parts.warnings.join("\n")).toMatch(says);
    }
  });

  test("takes the token of an identity provider, unsigned", async () => {
    const mint: AwsWebIdentityMint = { as: "aws_sts_web_identity", ...role() };
    const key = JwtKey.of(Secret.of(identity.privateKey), "ES256", null, "test");
    const jwt = key.sign({
      iss: "idp",
      sub: "edge",
      aud: "sts.amazonaws.com",
      exp: Math.floor(Date.now() / 1000) + 60,
    });
    expect(server.isIssued(await tokenOf(start(jwt, mint)))).toBe(true);
    const parts = start("not-a-token-0f3a9c", mint);
    await expect(leaseOf(parts)).rejects.toThrow();
    expect(parts.warnings.join("\n")).toMatch(/InvalidIdentityToken\): check the root/);
    expect(parts.warnings.join("\n")).not.toContain("0f3a9c");
  });
});
