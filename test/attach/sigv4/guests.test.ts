import { describe, expect, test } from "vitest";
import { WholeBody } from "../../../src/core/whole-body.ts";
import { createAttachPort } from "../../../src/attach/attach.ts";
import {
  attachNow,
  codeOf,
  denialOf,
  destination,
  headOf,
  leaseOf,
  type Line,
  linesOf,
  NOW_MS,
  permitFor,
  TOOLS,
} from "../exchange.ts";
import {
  attached,
  type Asked,
  aws,
  specOf,
  HOST,
  S3_KEYS,
  S3_TIME,
  signatureIn,
  STAND_IN,
  wholeBodyBytes,
} from "./exchange.ts";

/** What a guest may have signed, and what becomes of it. */

const S3 = { service: "s3" } as const;
const authorized = (scope = "us-east-1/service", keyId = STAND_IN): Line => [
  "Authorization",
  `AWS4-HMAC-SHA256 Credential=${keyId}/20300101/${scope}/aws4_request, SignedHeaders=host;x-amz-date, Signature=${"0".repeat(64)}`,
];
const presigned = (change: Record<string, string | null> = {}): string => {
  const parameters: Record<string, string | null> = {
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": `${STAND_IN}/20300101/us-east-1/s3/aws4_request`,
    "X-Amz-Date": "20300101T000000Z",
    "X-Amz-Expires": "3600",
    "X-Amz-SignedHeaders": "host",
    "X-Amz-Signature": "0".repeat(64),
    ...change,
  };
  return Object.entries(parameters)
    .filter((pair): pair is [string, string] => pair[1] !== null)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join("&");
};

describe("in the head", () => {
  test("the stand-in's signature makes way for the edge's, with all that goes with it", () => {
    const own: readonly Line[] = [
      ["X-Amz-Date", "20300101T000000Z"],
      ["X-Amz-Security-Token", "the guest's"],
      ["x-amz-s3session-token", "the guest's"],
      ["x_amz_date", "the guest's"],
      ["X-Amz-Meta-Kept", "1"],
    ];
    const { head } = attached({ lines: [HOST, authorized(), ...own], keys: { ...S3_KEYS, sessionToken: "the-token" } });
    expect(head.fields.allSent("x-amz-date")).toEqual(["20150830T123600Z"]);
    expect(head.fields.allSent("x-amz-security-token")).toEqual(["the-token"]);
    expect(head.fields.allSent("authorization")).toEqual([
      expect.stringMatching(
        /^AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE\/20150830\/us-east-1\/service\/aws4_request, SignedHeaders=host;x-amz-date;x-amz-meta-kept;x-amz-security-token, Signature=[0-9a-f]{64}$/,
      ),
    ]);
    expect(head.fields.render()).not.toMatch(/POSTERN|the guest's/);
  });

  test("whether or not the guest signed, the same is sent", () => {
    const signed = attached({ lines: [HOST, authorized()] });
    expect(signed.authorization).toBe(attached({ lines: [HOST] }).authorization);
    expect(signatureIn(signed.authorization)).not.toBe("none");
  });

  test("what hops may change is not signed, what AWS reads is", () => {
    const lines: readonly Line[] = [
      HOST,
      ["User-Agent", "x"],
      ["Expect", "100-continue"],
      ["X-Amzn-Trace-Id", "x"],
      ["Accept-Encoding", "gzip"],
      ["Content-Type", "text/plain"],
      ["Content-MD5", "x"],
      ["x-amz-acl", "private"],
    ];
    expect(attached({ lines }).authorization).toContain(
      "SignedHeaders=content-md5;content-type;host;x-amz-acl;x-amz-date,",
    );
  });

  test.each<[string, Line[], string, RegExp]>([
    ["another key", [authorized("us-east-1/service", "AKIAIOSFODNN7EXAMPLE")], "guest_signed", /not the stand-in/],
    ["a key that begins like it", [authorized("us-east-1/service", `${STAND_IN}0`)], "guest_signed", /stand-in/],
    ["no key", [authorized("us-east-1/service", "")], "guest_signed", /stand-in/],
    [
      "another region",
      [authorized("eu-west-1/service")],
      "signing_unsupported",
      /eu-west-1\/service.*us-east-1\/service/,
    ],
    ["another service", [authorized("us-east-1/iam")], "signing_unsupported", /us-east-1\/iam/],
    ["a region that is no name", [authorized("<x>/service")], "signing_unsupported", /something else/],
    ["a scope that is too long", [authorized("us-east-1/service/x")], "signing_unsupported", /malformed/],
    [
      "SigV4A",
      [["Authorization", `AWS4-ECDSA-P256-SHA256 Credential=${STAND_IN}/20300101/service/aws4_request, Signature=00`]],
      "signing_unsupported",
      /4A.*regional/,
    ],
    ["a region set", [authorized(), ["X-Amz-Region-Set", "*"]], "signing_unsupported", /4A/],
    ["version 2", [["Authorization", `AWS ${STAND_IN}:c2ln`]], "signing_unsupported", /something else/],
    ["a bearer", [["Authorization", "Bearer mine"]], "signing_unsupported", /something else/],
    ["nothing behind the scheme", [["Authorization", "AWS4-HMAC-SHA256"]], "signing_unsupported", /Credential/],
    ["two", [authorized(), authorized()], "signing_unsupported", /more than one/],
    [
      "two credentials in one",
      [["Authorization", `${authorized()[1]}, Credential=AKIAX/20300101/us-east-1/service/aws4_request`]],
      "signing_unsupported",
      /no one Credential/,
    ],
  ])("refused: %s", (_, lines, code, cause) => {
    const denial = denialOf(() => attached({ lines: [HOST, ...lines] }));
    expect([denial?.code, denial?.detail]).toEqual([code, expect.stringMatching(cause)]);
    // Before a lease is asked for, too.
    expect(codeOf(() => wholeBodyBytes({ lines: [HOST, ...lines] }))).toBe(code);
  });

  test("unsigned requests are refused where the config says so", () => {
    expect(codeOf(() => attached({ lines: [HOST], spec: { unsigned: "refuse" } }))).toBe("guest_signed");
    expect(codeOf(() => attached({ lines: [HOST, authorized()], spec: { unsigned: "refuse" } }))).toBe("no denial");
  });
});

describe("in the query", () => {
  const ask = (target: string, more: Asked = {}): ReturnType<typeof attached> =>
    attached({
      target,
      lines: [["Host", "examplebucket.s3.amazonaws.com"]],
      spec: S3,
      keys: S3_KEYS,
      time: S3_TIME,
      ...more,
    });

  test("is signed anew: our date, a bounded expiry, the guest's other parameters where they were", () => {
    const { head, injected } = ask(`/test.txt?${presigned()}&versionId=1&x-id=GetObject`);
    expect(head.target).toMatch(
      /^\/test\.txt\?versionId=1&x-id=GetObject&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature=[0-9a-f]{64}$/,
    );
    expect(injected.once).toEqual([head.target.slice(-64)]);
    expect(head.fields.allSent("authorization")).toEqual([]);
  });

  test("a shorter expiry stays", () => {
    expect(ask(`/?${presigned({ "X-Amz-Expires": "20" })}`).head.target).toContain("&X-Amz-Expires=20&");
  });

  test("a session token is signed with it, and is known in both its forms", () => {
    const { head, injected } = ask(`/?${presigned()}`, { keys: { ...S3_KEYS, sessionToken: "a/b+c==" } });
    expect(head.target).toContain("&X-Amz-Security-Token=a%2Fb%2Bc%3D%3D&X-Amz-Signature=");
    expect(injected.values).toEqual(expect.arrayContaining(["a/b+c==", "a%2Fb%2Bc%3D%3D", S3_KEYS.secretAccessKey]));
  });

  test.each<[string, string, string]>([
    ["another key", presigned({ "X-Amz-Credential": "AKIAX/20300101/us-east-1/s3/aws4_request" }), "guest_signed"],
    [
      "another region",
      presigned({ "X-Amz-Credential": `${STAND_IN}/20300101/eu/s3/aws4_request` }),
      "signing_unsupported",
    ],
    ["SigV4A", presigned({ "X-Amz-Algorithm": "AWS4-ECDSA-P256-SHA256" }), "signing_unsupported"],
    ["a region set", presigned({ "X-Amz-Region-Set": "*" }), "signing_unsupported"],
    ["no key", presigned({ "X-Amz-Credential": null }), "signing_unsupported"],
    ["a signature alone", "X-Amz-Signature=00", "signing_unsupported"],
    ["no expiry", presigned({ "X-Amz-Expires": null }), "signing_unsupported"],
    ["an expiry of zero", presigned({ "X-Amz-Expires": "0" }), "signing_unsupported"],
    ["an expiry of more than a week", presigned({ "X-Amz-Expires": "604801" }), "signing_unsupported"],
    ["an expiry that is no number", presigned({ "X-Amz-Expires": "1e3" }), "signing_unsupported"],
    ["a key twice", `${presigned()}&x-amz-credential=AKIAX`, "signing_unsupported"],
    ["a key twice, behind a semicolon", `a=1;X-Amz-Cr%65dential=AKIAX&${presigned()}`, "signing_unsupported"],
    ["version 2", "AWSAccessKeyId=AKIAX&Signature=x&Expires=1", "signing_unsupported"],
    ["chunks", presigned({ "X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" }), "signing_unsupported"],
    ["more parameters than any call has", "&".repeat(1001), "signing_unsupported"],
  ])("refused: %s", (_, query, code) => {
    expect(codeOf(() => ask(`/?${query}`))).toBe(code);
    expect(codeOf(() => wholeBodyBytes({ target: `/?${query}`, spec: S3 }))).toBe(code);
  });

  test("refused: in the head as well, and over http", () => {
    expect(codeOf(() => ask(`/?${presigned()}`, { lines: [HOST, authorized("us-east-1/s3")] }))).toBe(
      "signing_unsupported",
    );
    expect(codeOf(() => ask(`/?${presigned()}`, { scheme: "http" }))).toBe("signing_unsupported");
  });

  test("of another service than S3: the body is hashed", () => {
    const credential = `${STAND_IN}/20300101/us-east-1/service/aws4_request`;
    const target = `/?${presigned({ "X-Amz-Credential": credential })}`;
    expect(wholeBodyBytes({ target, body: new WholeBody(Buffer.from("x")) })).toBe(1_048_576);
    const one = attached({ target, lines: [HOST], body: new WholeBody(Buffer.from("x")) }).head.target;
    expect(one).not.toBe(attached({ target, lines: [HOST], body: new WholeBody(Buffer.from("y")) }).head.target);
  });
});

describe("payloads", () => {
  const sha = (text: string): Line => ["x-amz-content-sha256", text];
  const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

  test("S3 is told the digest where the guest said none, other services are not", () => {
    expect(attached({ lines: [HOST], spec: S3 }).head.fields.allSent("x-amz-content-sha256")).toEqual([EMPTY]);
    expect(attached({ lines: [HOST] }).head.fields.allSent("x-amz-content-sha256")).toEqual([]);
  });

  test("nothing is held where nothing has to be", () => {
    const body = new WholeBody(Buffer.from("x"));
    expect(wholeBodyBytes({ body })).toBe(1_048_576);
    expect(wholeBodyBytes({ body, spec: { bodyBytes: 7 } })).toBe(7);
    expect(wholeBodyBytes({})).toBeNull();
    expect(wholeBodyBytes({ body, lines: [sha(EMPTY)] })).toBeNull();
    expect(wholeBodyBytes({ body, lines: [sha("UNSIGNED-PAYLOAD")], spec: S3 })).toBeNull();
    expect(wholeBodyBytes({ body, lines: [sha("UNSIGNED-PAYLOAD")] })).toBeNull();
  });

  test.each<[string, Asked, string]>([
    [
      "an unsigned one over http",
      { lines: [sha("UNSIGNED-PAYLOAD")], spec: S3, scheme: "http" },
      "signing_unsupported",
    ],
    [
      "unsigned chunks over http",
      {
        lines: [sha("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), ["x-amz-decoded-content-length", "1"]],
        spec: S3,
        scheme: "http",
      },
      "signing_unsupported",
    ],
    ["chunks of another service", { lines: [sha("STREAMING-UNSIGNED-PAYLOAD-TRAILER")] }, "signing_unsupported"],
    [
      "an unsigned one over http, of another service",
      { lines: [sha("UNSIGNED-PAYLOAD")], scheme: "http" },
      "signing_unsupported",
    ],
    ["events", { lines: [sha("STREAMING-AWS4-HMAC-SHA256-EVENTS")], spec: S3 }, "signing_unsupported"],
    ["chunks of SigV4A", { lines: [sha("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD")], spec: S3 }, "signing_unsupported"],
    ["a name of every object", { lines: [sha("constructor")], spec: S3 }, "signing_unsupported"],
    ["upper-case hex", { lines: [sha(EMPTY.toUpperCase())], spec: S3 }, "signing_unsupported"],
    ["two", { lines: [sha(EMPTY), sha(EMPTY)], spec: S3 }, "signing_unsupported"],
    ["chunks of no length", { lines: [sha("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")], spec: S3 }, "signing_unsupported"],
    [
      "chunks of a length that is none",
      { lines: [sha("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), ["x-amz-decoded-content-length", "-1"]], spec: S3 },
      "signing_unsupported",
    ],
    ["a digest of another body", { lines: [HOST, sha("0".repeat(64))] }, "body_digest_mismatch"],
    [
      "a form with a policy",
      { method: "POST", lines: [["Content-Type", "Multipart/Form-Data; boundary=x"]], spec: S3 },
      "signing_unsupported",
    ],
  ])("refused: %s", (_, asked, code) => {
    expect(codeOf(() => attached(asked))).toBe(code);
  });
});

describe("calls that hand out a credential", () => {
  const form = (text: string): Asked => ({ method: "POST", lines: [HOST], body: new WholeBody(Buffer.from(text)) });
  const of = (service: string, asked: Asked, more = {}): Asked => ({ ...asked, spec: { service, ...more } });

  test.each<[string, Asked]>([
    ["AssumeRole", of("sts", form("Action=AssumeRole&Version=2011-06-15&RoleArn=x"))],
    ["in another spelling", of("sts", form("%41ction=AssumeRol%65"))],
    ["in the query", of("sts", { target: "/?Action=GetSessionToken" })],
    ["whatever STS learns next", of("sts", form("Action=GetSomething"))],
    ["two actions", of("sts", form("Action=GetCallerIdentity&Action=AssumeRole"))],
    [
      "two actions, one in the query",
      of("sts", { ...form("Action=AssumeRole"), target: "/?Action=GetCallerIdentity" }),
    ],
    ["two actions, one behind a semicolon", of("sts", form("Action=GetCallerIdentity;Action=AssumeRole"))],
    ["no action", of("sts", form("Version=2011-06-15"))],
    [
      "a body that is no form",
      of("sts", { ...form("Action=GetCallerIdentity"), lines: [["Content-Encoding", "gzip"]] }),
    ],
    ["a form of a thousand fields", of("sts", form(`Action=GetCallerIdentity${"&".repeat(1001)}`))],
    ["CreateAccessKey", of("iam", form("Action=CreateAccessKey"))],
    [
      "by X-Amz-Target",
      of("ecr", { lines: [["X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"]] }),
    ],
    ["by path", of("codeartifact", { target: "/v1/authorization-token?domain=x" })],
    ["by path, in another spelling", of("codeartifact", { target: "/v1/./x/..//authorizatio%6E-token/" })],
    ["by the operation's path", of("lakeformation", { target: "/GetTemporaryGlueTableCredentials" })],
    [
      "by the path of Smithy's RPC",
      of("ecr", { method: "POST", target: "/service/ContainerRegistry/operation/GetAuthorization%54oken" }),
    ],
    [
      "by that path, and another by the query",
      of("sts", { ...form(""), target: "/service/SecurityToken/operation/AssumeRole?Action=GetCallerIdentity" }),
    ],
    [
      "by a protocol that is no form",
      of("sts", { ...form("Action=GetCallerIdentity"), lines: [HOST, ["Smithy-Protocol", "rpc-v2-cbor"]] }),
    ],
    ["CreateSession of S3 Express", of("s3express", { target: "/?session" })],
    ["CreateSession in another spelling", of("s3", { target: "/?x=1&s%65ssion=" })],
    ["GetDataAccess of S3", of("s3", { target: "/v20180820/accessgrantsinstance/dataaccess?target=x" })],
  ])("refused: %s", (_, asked) => {
    expect(codeOf(() => attached(asked))).toBe("signing_unsupported");
    expect(codeOf(() => attached({ ...asked, spec: { ...asked.spec, credentialCalls: "accept" } }))).toBe("no denial");
  });

  test.each<[string, Asked]>([
    ["in the head", of("s3", { method: "PUT", lines: [HOST, ["X-Amz-Copy-Source", "/others/secret"]] })],
    [
      "in the query, in another spelling",
      of("s3", { method: "PUT", target: "/mine?X-Amz-Copy%2DSource=/others/secret" }),
    ],
    ["of S3 Express", of("s3express", { method: "PUT", lines: [HOST, ["x-amz-copy-source", "others/secret"]] })],
  ])("a copy from an object that the rules do not see is refused: %s", (_, asked) => {
    expect(codeOf(() => attached(asked))).toBe("signing_unsupported");
    expect(codeOf(() => attached({ ...asked, spec: { ...asked.spec, copySources: "accept" } }))).toBe("no denial");
  });

  test.each<[string, Asked]>([
    ["GetCallerIdentity", of("sts", form("Action=GetCallerIdentity&Version=2011-06-15"))],
    ["GetCallerIdentity in the query", of("sts", { target: "/?Action=GetCallerIdentity&Version=2011-06-15" })],
    ["ListUsers", of("iam", form("Action=ListUsers&Version=2010-05-08"))],
    ["an object that is named so", of("s3", { target: "/bucket/AssumeRole?prefix=session" })],
    [
      "another call of Smithy's RPC",
      of("monitoring", { method: "POST", target: "/service/GraniteServiceVersion20100801/operation/GetMetricData" }),
    ],
    ["a path of the customer's own", of("execute-api", { target: "/assumerole?action=GetCredentials" })],
    ["a table that is read", of("dynamodb", { lines: [["X-Amz-Target", "DynamoDB_20120810.GetItem"]] })],
  ])("signed: %s", (_, asked) => {
    expect(codeOf(() => attached(asked))).toBe("no denial");
  });
});

test("in report mode nothing is signed, and what the guest signed does not go out", () => {
  const permit = permitFor(destination([specOf({ service: "s3" })]), "path_not_allowed");
  const port = createAttachPort(TOOLS);
  expect(port.demands(permit).body).toBe(false);
  const head = headOf([HOST, authorized("us-east-1/s3", "AKIAIOSFODNN7EXAMPLE")], `/a?${presigned()}&b=1`);
  port.cleanse(permit, head);
  expect([head.target, linesOf(head)]).toEqual(["/a?b=1", ["Host: example.amazonaws.com"]]);
});

test("nothing is signed that was not cleansed", () => {
  const permit = permitFor(destination([specOf()]));
  const head = headOf([HOST]);
  expect(codeOf(() => attachNow(createAttachPort(TOOLS), permit, leaseOf(aws(S3_KEYS)), head, NOW_MS))).toBe(
    "lease_unusable",
  );
});

describe("what never comes back", () => {
  test("secret key, session token and signature", () => {
    const { injected, authorization } = attached({ lines: [HOST], keys: { ...S3_KEYS, sessionToken: "the-token" } });
    expect(injected.values).toEqual(["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "the-token"]);
    expect(injected.once).toEqual([signatureIn(authorization)]);
  });
});

describe("material that does not fit", () => {
  test.each([
    ["a slash in the key id", { ...S3_KEYS, accessKeyId: "AKIA/X" }],
    ["a blank in the key id", { ...S3_KEYS, accessKeyId: "AKIA X" }],
    ["a line break in the token", { ...S3_KEYS, sessionToken: "a\r\nb" }],
    ["an empty secret", { ...S3_KEYS, secretAccessKey: "" }],
  ])("%s", (_, keys) => {
    expect(codeOf(() => attached({ lines: [HOST], keys }))).toBe("lease_unusable");
  });
});
