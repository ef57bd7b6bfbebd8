import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Denial } from "../../../src/core/denial.ts";
import { WholeBody } from "../../../src/core/whole-body.ts";
import { verify } from "../../house/support/aws-verifier.ts";
import type { Line } from "../exchange.ts";
import { attached, type AwsKeys, STAND_IN, SUITE_KEYS, SUITE_TIME } from "./exchange.ts";
import { aws4Authorization, aws4Presigned, encode, type OracleRequest, smithyAuthorization } from "./oracles.ts";

/** Whatever is asked, the edge signs it as two other implementations do. */

const STAMP = "20150830T123600Z";
const word = fc.string({
  minLength: 1,
  maxLength: 12,
  unit: fc.constantFrom(..."aZ09-._~ é/%+=&:*'()!$@,;".split("")),
});
const plain = fc.string({ minLength: 1, maxLength: 10, unit: fc.constantFrom(..."abcxyz-019".split("")) });
const query = fc.uniqueArray(fc.tuple(plain, word), { maxLength: 6, selector: ([name]) => name });
/** Encoded by the client, as every SDK does; no segment is empty, dotted, or holds an encoded slash. */
const path = fc
  .array(
    word.map((text) => text.replaceAll("/", "-")).filter((text) => !/^\.{1,2}$/.test(text)),
    { maxLength: 5 },
  )
  .chain((segments) =>
    fc.boolean().map((end) => `/${segments.map(encode).join("/")}${end && segments.length > 0 ? "/" : ""}`),
  );
const value = fc
  .string({ minLength: 1, maxLength: 30, unit: fc.constantFrom(...'abc XYZ 019 "=,;/'.split("")) })
  .map((text) => text.trim())
  .filter((text) => text !== "");
const meta = fc.uniqueArray(
  fc.tuple(
    plain.map((name) => `x-amz-meta-${name}`),
    value,
  ),
  { maxLength: 4, selector: ([name]) => name },
);
const keys: fc.Arbitrary<AwsKeys> = fc.constantFrom(SUITE_KEYS, {
  ...SUITE_KEYS,
  sessionToken:
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGd==",
});
const method = fc.constantFrom("GET", "PUT", "POST", "DELETE", "HEAD");
const body = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));

const request = (service: string): fc.Arbitrary<Omit<OracleRequest, "lines"> & { readonly meta: readonly Line[] }> =>
  fc.record({
    method,
    path,
    query,
    meta,
    body,
    region: fc.constantFrom("us-east-1", "eu-central-1", "cn-north-1"),
    service: fc.constant(service),
    keys,
  });

/** What the edge sends, and what the others say to that. */
function asSent(asked: Omit<OracleRequest, "lines"> & { readonly meta: readonly Line[] }) {
  const raw = asked.query.map(([name, text]) => `${encode(name)}=${encode(text)}`).join("&");
  const { head, authorization } = attached({
    method: asked.method,
    target: raw === "" ? asked.path : `${asked.path}?${raw}`,
    lines: [["Host", "example.amazonaws.com"], ["User-Agent", "x"], ["Accept", "*/*"], ...asked.meta],
    body: new WholeBody(asked.body),
    keys: asked.keys,
    time: SUITE_TIME,
    spec: { region: asked.region, service: asked.service },
  });
  const lines = [...head.fields.pairs()].filter(([name]) => /^(host|x-amz-.*)$/i.test(name));
  return { authorization, oracle: { ...asked, lines } };
}

test.each(["execute-api", "dynamodb", "s3"])("%s: as aws4 and the SDK for JavaScript sign it", async (service) => {
  await fc.assert(
    fc.asyncProperty(request(service), async (asked) => {
      const { authorization, oracle } = asSent(asked);
      expect(oracle.lines.find(([name]) => name === "X-Amz-Date")?.[1]).toBe(STAMP);
      expect(aws4Authorization(oracle)).toBe(authorization);
      expect(await smithyAuthorization(oracle)).toBe(authorization);
    }),
    { numRuns: 300 },
  );
});

test.each(["execute-api", "s3"])("%s: presigned as aws4 presigns it", (service) => {
  fc.assert(
    fc.property(request(service), fc.integer({ min: 1, max: 604_800 }), (asked, expires) => {
      const credential = encode(`${STAND_IN}/20300101/${asked.region}/${service}/aws4_request`);
      const own = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${credential}&X-Amz-Expires=${expires}`;
      const raw = asked.query.map(([name, text]) => `&${encode(name)}=${encode(text)}`).join("");
      const { head } = attached({
        method: asked.method,
        target: `${asked.path}?${own}${raw}`,
        lines: [["Host", "example.amazonaws.com"], ["Accept", "*/*"], ...asked.meta],
        keys: asked.keys,
        time: SUITE_TIME,
        spec: { region: asked.region, service },
      });
      const lines = [...head.fields.pairs()].filter(([name]) => name !== "Accept");
      expect(head.target).toMatch(
        new RegExp(`&X-Amz-Signature=${aws4Presigned({ ...asked, lines }, STAMP, Math.min(expires, 300))}$`),
      );
    }),
    { numRuns: 300 },
  );
});

/** What a guest may put into its head to be taken for somebody else, and what it may do to what is signed. */
const hostile = fc.constantFrom<Line>(
  [
    "Authorization",
    "AWS4-HMAC-SHA256 Credential=AKIATHEIRS/20300101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00",
  ],
  [
    "authorization",
    `AWS4-HMAC-SHA256 Credential=${STAND_IN}/20300101/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=00`,
  ],
  ["X-Amz-Date", "20300101T000000Z"],
  ["x-amz-security-token", "guest-token"],
  ["X-Amz-S3Session-Token", "guest-token"],
  ["x_amz_security_token", "guest-token"],
  ["x-amz-content-sha256", "UNSIGNED-PAYLOAD"],
  ["x-amz-copy-source", "/other/object  name"],
  ["X-Amz-Meta-Tab", "a\tb"],
  ["X-Amz-Acl", ""],
  ["Content-Type", "text/plain;  charset=utf-8"],
);
const rawTarget = fc
  .tuple(
    fc.array(fc.constantFrom("a", "/", ".", "..", "%7e", "%2F", "%c3%a9", "(", "+", "%20", ":", "~"), { maxLength: 8 }),
    fc.array(
      fc.constantFrom(
        "a=1",
        "a=1&b",
        "%61=%7E",
        "b=a+b",
        "=x",
        "",
        "x=%2f%2F",
        "X-Amz-Date=1",
        "x-amz-security-token=guest-token",
        "acl",
        "X-Amz-Signature=00",
        "X-Amz-Credential=AKIATHEIRS%2F1%2Fus-east-1%2Fs3%2Faws4_request",
        "c=(1)'!*",
      ),
      { maxLength: 5 },
    ),
    fc.constantFrom("&", ";", "&&"),
  )
  .map(([path, parameters, by]) => `/${path.join("")}${parameters.length === 0 ? "" : `?${parameters.join(by)}`}`);

test("whatever a guest says, it is refused by name, or what goes out is the edge's word alone and holds", () => {
  let held = 0;
  fc.assert(
    fc.property(rawTarget, fc.array(hostile, { maxLength: 4 }), method, (target, lines, name) => {
      const keys = { ...SUITE_KEYS, sessionToken: "right/token+==" };
      const asked = {
        method: name,
        target,
        lines: [["Host", "s3.test"] as Line, ...lines],
        keys,
        spec: { service: "s3" },
      };
      let sent: ReturnType<typeof attached>;
      try {
        sent = attached(asked);
      } catch (thrown) {
        if (!(thrown instanceof Denial)) throw thrown;
        expect(["guest_signed", "signing_unsupported"]).toContain(thrown.code);
        return;
      }
      const rawHeaders = [...sent.head.fields.pairs()].flat();
      expect(JSON.stringify([sent.head.target, rawHeaders])).not.toMatch(/AKIATHEIRS|POSTERN|guest-token|20300101/);
      const request = { method: name, url: sent.head.target, rawHeaders, body: Buffer.alloc(0) };
      const verified = verify(request, { keys, region: "us-east-1", service: "s3", nowMs: Date.parse(SUITE_TIME) });
      expect(verified.form).toBe("header");
      held++;
    }),
    { numRuns: 2000 },
  );
  expect(held).toBeGreaterThan(100);
});
