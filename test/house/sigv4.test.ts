import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { denialIn, openTunnel, type RawGuest } from "../hostile/raw-guest.ts";
import { makeCa } from "./support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { bareEnv, isPresent, run, type RunResult } from "./support/run.ts";
import { type S3Request, type S3Upstream, startS3 } from "./support/s3-upstream.ts";
import { framed } from "../attach/sigv4/chunks.ts";

/** AWS's own clients with a stand-in key, and services that check every signature for real. */

const REGION = "eu-central-1";
const STAND_IN = "AKIAPOSTERNSTANDIN00";
const KEYS = {
  accessKeyId: "ASIAREALKEYOFHOUSE00",
  secretAccessKey: "right-secret-6f0d1c/+aB39e",
  sessionToken: "right-session-token-4e7b/+A1==",
};
/** One name a service, and one for each HTTP that an upstream can be spoken to with. */
const NAMES = {
  s3: "s3.test",
  h2: "s3h2.test",
  sts: "sts.test",
  api: "api.test",
  plain: "plain.test",
  table: "table.test",
  /** Guests sign with what the edge's own STS gave them. */
  role: "role.test",
} as const;
/** Handed out by the edge in place of STS. */
const ROLE_KEYS = {
  access_key_id: "ASIAPOSTERNGUEST0001",
  secret_access_key: "postern-guest-secret",
  session_token: "postern-guest-session",
};
const AWS_CLI = isPresent("aws");
const CLIENT = join(import.meta.dirname, "clients", "s3.mjs");

let directory = "";
let edge: Edge;
let s3: S3Upstream;
let sts: S3Upstream;
let api: S3Upstream;
let table: S3Upstream;
let plain: S3Upstream;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-sigv4-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const tls = await ca.issue(Object.values(NAMES));
  const verifier = (service: string) => ({ keys: KEYS, region: REGION, service });
  s3 = await startS3({ tls, verifier: verifier("s3") });
  sts = await startS3({ tls, verifier: verifier("sts") });
  api = await startS3({ tls, verifier: verifier("execute-api") });
  table = await startS3({ tls, verifier: verifier("dynamodb") });
  plain = await startS3({ verifier: verifier("s3") });
  const part = (name: string, to: S3Upstream, service: string, more = {}) =>
    destinationFor(to, name, {
      credential: "main/aws",
      attach: { as: "sigv4", region: REGION, service, body_bytes: 300_000 },
      ...more,
    });
  edge = await startEdge({
    hosts: Object.fromEntries(Object.values(NAMES).map((name) => [name, ["127.0.0.1"]])),
    extraRoots: [ca.certificateFile],
    env: {
      AWS_KEYS: JSON.stringify({
        Version: 1,
        AccessKeyId: KEYS.accessKeyId,
        SecretAccessKey: KEYS.secretAccessKey,
        SessionToken: KEYS.sessionToken,
      }),
    },
    credentials: [
      {
        name: "aws",
        kind: "aws",
        source: { env: "AWS_KEYS" },
        hosts: [
          ...[NAMES.s3, NAMES.h2].map((name) => `${name}:${s3.port}`),
          `${NAMES.sts}:${sts.port}`,
          `${NAMES.api}:${api.port}`,
          `${NAMES.table}:${table.port}`,
          `${NAMES.plain}:${plain.port}`,
          `${NAMES.role}:${s3.port}`,
        ],
      },
    ],
    destinations: [
      part(NAMES.s3, s3, "s3", { http: "h1" }),
      part(NAMES.h2, s3, "s3", { http: "h2" }),
      part(NAMES.sts, sts, "sts"),
      part(NAMES.api, api, "execute-api"),
      part(NAMES.table, table, "dynamodb"),
      part(NAMES.plain, plain, "s3", { plain_http_credential: "accept" }),
      destinationFor(s3, NAMES.role, {
        credential: "main/aws",
        attach: { as: "sigv4", region: REGION, service: "s3", stand_in: ROLE_KEYS.access_key_id },
      }),
      {
        name: "assume",
        // Nobody looks for its address.
        host: `sts.${REGION}.amazonaws.com`,
        allow: [{ methods: ["POST"], paths: ["/"] }],
        synthetic: { as: "aws_sts", ...ROLE_KEYS },
      },
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  await Promise.all([s3, sts, api, table, plain].map((one) => one?.close()));
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  for (const one of [s3, sts, api, table, plain]) one.reset();
});

/** Every request held, and nothing of the guest's own key came along. */
function allHeld(upstream: S3Upstream): readonly S3Request[] {
  expect(upstream.requests.map(({ fault }) => fault)).toEqual(upstream.requests.map(() => null));
  expect(JSON.stringify(upstream.requests.map(({ url, rawHeaders }) => [url, rawHeaders]))).not.toContain("POSTERN");
  return upstream.requests;
}

const payloads = (upstream: S3Upstream): Set<string> =>
  new Set(upstream.requests.map(({ verified }) => verified?.payload.replace(/^[0-9a-f]{64}$/, "hex") ?? "none"));

describe("AWS's SDK for JavaScript", () => {
  const sdk = async (name: string, upstream: S3Upstream, keyId = STAND_IN): Promise<Record<string, unknown>> => {
    const endpoint = `${upstream.scheme}://${name}:${upstream.port}`;
    const result = await run(process.execPath, [CLIENT, endpoint, keyId], { env: edge.guestEnv(), timeoutMs: 60_000 });
    if (result.code !== 0) throw new Error(result.stderr);
    return JSON.parse(result.stdout) as Record<string, unknown>;
  };
  const RIGHT = {
    put: "hello",
    odd: "odd",
    list: ["a b/ü+(1)~!*'&=@:,$.txt"],
    stream: true,
    multipart: true,
    head: 5,
    presigned_put: 200,
    presigned_get: "by url",
    delete: 204,
    gone: "NoSuchKey 404: none",
  };

  test.each([
    ["over HTTP/1.1", NAMES.s3, "1.1"],
    ["over HTTP/2 towards the upstream", NAMES.h2, "2.0"],
  ])("puts, gets, lists, streams and presigns, %s", async (_, name, version) => {
    expect(await sdk(name, s3)).toEqual(RIGHT);
    const seen = allHeld(s3);
    expect(new Set(seen.map(({ httpVersion }) => httpVersion))).toEqual(new Set([version]));
    expect(payloads(s3)).toEqual(new Set(["hex", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "UNSIGNED-PAYLOAD"]));
    expect(seen.filter(({ verified }) => verified?.form === "query")).toHaveLength(2);
  });

  test("with another key it gets nowhere", async () => {
    const told = await sdk(NAMES.s3, s3, "AKIAIOSFODNN7EXAMPLE");
    expect(told).toMatchObject({ head: expect.stringContaining("403") as string, presigned_put: 403 });
    expect(s3.requests).toEqual([]);
  });
});

describe(`AWS's command line${AWS_CLI ? "" : " (skipped: aws is absent)"}`, () => {
  const aws = (upstream: S3Upstream, name: string, ...args: string[]): Promise<RunResult> =>
    run("aws", ["--endpoint-url", `${upstream.scheme}://${name}:${upstream.port}`, ...args], {
      env: {
        ...edge.guestEnv(),
        AWS_ACCESS_KEY_ID: STAND_IN,
        AWS_SECRET_ACCESS_KEY: "postern-stand-in",
        AWS_DEFAULT_REGION: REGION,
        AWS_EC2_METADATA_DISABLED: "true",
        AWS_MAX_ATTEMPTS: "1",
        AWS_PAGER: "",
      },
      timeoutMs: 60_000,
    });

  test.skipIf(!AWS_CLI)("copies a file there in parts, and back", { timeout: 90_000 }, async () => {
    const file = join(directory, "large.bin");
    await writeFile(file, Buffer.alloc(9_000_000, "0123456789"));
    const there = await aws(s3, NAMES.s3, "s3", "cp", file, "s3://bucket/large file.bin");
    expect([there.code, there.stderr]).toEqual([0, ""]);
    const listed = await aws(s3, NAMES.s3, "s3api", "list-objects-v2", "--bucket", "bucket", "--prefix", "large f");
    expect(JSON.parse(listed.stdout)).toMatchObject({ Contents: [{ Key: "large file.bin" }] });
    expect(s3.objects.get("/bucket/large file.bin")?.length).toBe(9_000_000);
    allHeld(s3);
  });

  test.skipIf(!AWS_CLI)(
    "takes a role from the edge, and calls with what it was given",
    { timeout: 90_000 },
    async () => {
      const file = join(directory, "config");
      const lines = [
        "[profile base]",
        `aws_access_key_id = ${STAND_IN}`,
        "aws_secret_access_key = anything",
        "[profile agent]",
        "role_arn = arn:aws:iam::000000000000:role/agent",
        "source_profile = base",
        "sts_regional_endpoints = regional",
        `region = ${REGION}`,
      ];
      await writeFile(file, `${lines.join("\n")}\n`);
      const env = { ...edge.guestEnv(), AWS_CONFIG_FILE: file, AWS_EC2_METADATA_DISABLED: "true", HOME: directory };
      const url = `https://${NAMES.role}:${s3.port}`;
      const args = ["--profile", "agent", "--endpoint-url", url, "s3api", "list-objects-v2", "--bucket", "bucket"];
      const listed = await run("aws", args, { env, timeoutMs: 60_000 });
      expect(listed).toMatchObject({ code: 0, stderr: "" });
      expect(allHeld(s3)).toHaveLength(1);
      // The token of the stand-in never left; the real one did.
      expect(JSON.stringify(s3.requests)).not.toContain(ROLE_KEYS.session_token);
    },
  );

  test.skipIf(!AWS_CLI)("asks who it is, and may not ask for keys", { timeout: 90_000 }, async () => {
    const who = await aws(sts, NAMES.sts, "sts", "get-caller-identity");
    expect(allHeld(sts).map(({ verified }) => verified?.content.toString())).toEqual([
      "Action=GetCallerIdentity&Version=2011-06-15",
    ]);
    expect(who.stderr).not.toMatch(/denied|refused/i);
    const keys = await aws(sts, NAMES.sts, "sts", "get-session-token");
    expect(keys.code).not.toBe(0);
    expect(sts.requests).toHaveLength(1);
    await expect
      .poll(() => edge.audit())
      .toContainEqual(expect.objectContaining({ destination: "sts-test", denial: "signing_unsupported" }));
  });

  test.skipIf(!AWS_CLI)("asks another service", { timeout: 90_000 }, async () => {
    await aws(table, NAMES.table, "dynamodb", "get-item", "--table-name", "table", "--key", '{"id":{"S":"ü"}}');
    expect(allHeld(table)).toHaveLength(1);
  });
});

describe.each(["--http1.1", "--http2"])("curl %s", (version) => {
  const curl = (upstream: S3Upstream, name: string, path: string, ...args: string[]): Promise<RunResult> =>
    run("curl", ["-sS", version, "-D", "-", ...args, `${upstream.scheme}://${name}:${upstream.port}${path}`], {
      env: edge.guestEnv(),
    });
  const signs = (region = REGION, service = "execute-api", keyId = STAND_IN): string[] => [
    "--aws-sigv4",
    `aws:amz:${region}:${service}`,
    "-u",
    `${keyId}:postern-stand-in`,
  ];

  test("signs with the stand-in, or not at all: both hold", async () => {
    await curl(api, NAMES.api, "/stage/a%20b/c:d?b=2&a=1&a", ...signs(), "-d", '{"a":1}');
    await curl(api, NAMES.api, "/stage/a%20b/c:d?b=2&a=1&a", "-d", '{"a":1}', "-H", "X-Amz-Meta-A:   a   b ");
    expect(allHeld(api)).toHaveLength(2);
    expect(api.requests.map(({ url }) => url)).toEqual(Array(2).fill("/stage/a%20b/c:d?b=2&a=1&a"));
  });

  test("a large body whose digest is named is relayed, one of which nothing is said is not held without end", async () => {
    const file = join(directory, "upload.bin");
    const content = Buffer.alloc(400_000, "x");
    await writeFile(file, content);
    const digest = createHash("sha256").update(content).digest("hex");
    for (const word of [digest, "UNSIGNED-PAYLOAD"]) {
      const named = await curl(s3, NAMES.s3, "/bucket/upload", "-H", `x-amz-content-sha256: ${word}`, "-T", file);
      expect(named.stdout).toMatch(/^HTTP\/\S+ 200/m);
    }
    expect(payloads(s3)).toEqual(new Set(["hex", "UNSIGNED-PAYLOAD"]));
    const unnamed = await curl(s3, NAMES.s3, "/bucket/upload", "-T", file);
    expect(denialIn(unnamed.stdout)).toBe("body_too_large");
    expect(allHeld(s3)).toHaveLength(2);
  });

  test.each([NAMES.s3, NAMES.h2])("fields of one name, odd paths, values in UTF-8: %s", async (name) => {
    const fields = ["-H", "X-Amz-Meta-A: 1", "-H", "x-amz-meta-b: voil\u00e0", "-H", "x-amz-meta-a:  2   3"];
    await curl(s3, name, "/bucket/a(1)+%7euser/caf%c3%a9", "-X", "PUT", "-d", "odd", ...fields);
    expect(allHeld(s3)).toHaveLength(1);
    expect([...s3.objects.keys()]).toEqual(["/bucket/a(1)+~user/café"]);
  });

  test.each([NAMES.s3, NAMES.h2])("chunks that the client signs are signed anew: %s", async (name) => {
    const file = join(directory, "chunked.bin");
    const content = "0123456789".repeat(20_000);
    await writeFile(file, framed([content.slice(0, 65_536), content.slice(65_536)], true));
    const fields = ["-H", "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD"];
    fields.push("-H", `x-amz-decoded-content-length: ${content.length}`, "-H", "Content-Encoding: aws-chunked");
    await curl(s3, name, "/bucket/chunked", ...fields, "-T", file);
    expect(allHeld(s3)[0]?.verified).toMatchObject({ chunks: 2 });
    expect(s3.objects.get("/bucket/chunked")?.toString()).toBe(content);
  });

  test("a presigned query is signed anew, and gives nothing away either", async () => {
    const query = [
      "X-Amz-Algorithm=AWS4-HMAC-SHA256",
      `X-Amz-Credential=${STAND_IN}%2F20200101%2F${REGION}%2Fs3%2Faws4_request`,
      "X-Amz-Date=20200101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00",
    ];
    const { stdout } = await curl(s3, NAMES.s3, `/reflect?a=1&${query.join("&")}`);
    const [seen] = allHeld(s3);
    expect(seen?.verified?.form).toBe("query");
    expect(stdout).toMatch(/x-echo-url: \/reflect\?a=1&X-Amz-Algorithm/i);
    expect(stdout).not.toContain(seen?.url.slice(-64));
    expect(stdout).not.toContain(encodeURIComponent(KEYS.sessionToken));
    expect(stdout).not.toContain(KEYS.sessionToken);
  });

  test("an upstream that says what it was told gives nothing away", async () => {
    const { stdout } = await curl(s3, NAMES.s3, "/reflect");
    const [seen] = allHeld(s3);
    const authorization =
      seen?.rawHeaders[(seen.rawHeaders.findIndex((name) => /^authorization$/i.test(name)) ?? 0) + 1];
    expect(authorization).toMatch(/Signature=[0-9a-f]{64}$/);
    expect(stdout).toMatch(/x-echo-authorization: /i);
    expect(stdout).not.toContain(authorization?.slice(-64));
    expect(stdout).not.toContain(KEYS.sessionToken);
    expect(stdout).not.toContain(KEYS.secretAccessKey);
  });

  test.each<[string, string[], string]>([
    ["another key", signs(REGION, "execute-api", "AKIAIOSFODNN7EXAMPLE"), "guest_signed"],
    ["another region", signs("us-east-1"), "signing_unsupported"],
    ["another service", signs(REGION, "iam"), "signing_unsupported"],
    ["SigV4A", ["-H", "Authorization: AWS4-ECDSA-P256-SHA256 Credential=x"], "signing_unsupported"],
    ["another digest", ["-H", `x-amz-content-sha256: ${"0".repeat(64)}`, "-d", "hello"], "body_digest_mismatch"],
    [
      "chunks of a service that knows none",
      ["-H", "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER"],
      "signing_unsupported",
    ],
  ])("refused: %s", async (_, args, code) => {
    expect(denialIn((await curl(api, NAMES.api, "/", ...args)).stdout)).toBe(code);
    expect(api.requests.filter(({ state }) => state === "complete")).toEqual([]);
  });

  test("no unsigned payload over http", async () => {
    const args = ["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-T", join(directory, "upload.bin")];
    expect(denialIn((await curl(plain, NAMES.plain, "/bucket/x", ...args)).stdout)).toBe("signing_unsupported");
    await curl(plain, NAMES.plain, "/bucket/x", "-X", "PUT", "-d", "held and hashed");
    expect(allHeld(plain)).toHaveLength(1);
    expect(payloads(plain)).toEqual(new Set(["hex"]));
  });
});

describe("chunks that a guest signs", () => {
  const WORD = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";

  async function upload(
    text: string,
    decoded: number,
    fields: readonly string[] = [],
    word = WORD,
    name: string = NAMES.s3,
  ): Promise<RawGuest> {
    const authority = `${name}:${s3.port}`;
    const guest = await openTunnel(edge.proxyPort, authority, name);
    const head = [
      "PUT /bucket/chunks HTTP/1.1",
      `Host: ${authority}`,
      `Content-Length: ${text.length}`,
      `x-amz-content-sha256: ${word}`,
      `x-amz-decoded-content-length: ${decoded}`,
      "Content-Encoding: aws-chunked",
      ...fields,
    ];
    guest.send(`${head.join("\r\n")}\r\n\r\n`);
    // In pieces that know nothing of chunks.
    for (let at = 0; at < text.length; at += 10_007) {
      guest.send(text.slice(at, at + 10_007));
      await new Promise((done) => setImmediate(done));
    }
    return guest;
  }

  test.each([
    ["HTTP/1.1", NAMES.s3],
    ["HTTP/2", NAMES.h2],
  ])("are signed anew, each of them, towards %s", async (_, name) => {
    const chunks = ["a".repeat(65_536), "b".repeat(65_536), "c".repeat(1000)];
    const content = chunks.join("");
    const guest = await upload(framed(chunks, true), content.length, [], WORD, name);
    expect(await guest.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200/);
    expect(allHeld(s3)[0]?.verified).toMatchObject({ payload: WORD, chunks: 3 });
    expect(s3.objects.get("/bucket/chunks")?.toString()).toBe(content);
    guest.destroy();
  });

  test("with trailers, whose signature is made anew as well", async () => {
    const text = framed(["hello"], true, ["x-amz-checksum-crc32:NhCmhg=="]);
    const guest = await upload(text, 5, ["x-amz-trailer: x-amz-checksum-crc32"], `${WORD}-TRAILER`);
    expect(await guest.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200/);
    expect(allHeld(s3)[0]?.verified).toMatchObject({ trailers: { "x-amz-checksum-crc32": "NhCmhg==" } });
    guest.destroy();
  });

  const good = framed(["x".repeat(70_000), "y".repeat(70_000)], true);
  test.each<[string, string, number, string]>([
    ["a chunk that is longer than it says", good.replace("x\r\n", "xzz"), 140_000, "body_unfit"],
    ["chunks that do not add up", good, 139_999, "body_digest_mismatch"],
    [
      "a second chunk without a size",
      good.replace(/\r\n11170;chunk-signature=0+\r\ny/, "\r\n;\r\ny"),
      140_000,
      "body_unfit",
    ],
    ["a chunk that is larger than may be held", framed(["z".repeat(300_001)], true), 300_001, "body_too_large"],
    ["a huge chunk", good.replace("11170;", "ffffffff;"), 140_000, "body_too_large"],
    ["something behind the end", `${good}GET /`, 140_000, "body_unfit"],
  ])("refused: %s", async (_, text, decoded, code) => {
    const guest = await upload(text, decoded);
    await guest.until(/x-deny-reason/);
    expect(denialIn(guest.text)).toBe(code);
    await expect.poll(() => s3.requests.filter(({ state }) => state === "open")).toEqual([]);
    // It never saw the whole.
    expect(s3.requests.filter(({ state }) => state === "complete")).toEqual([]);
    expect(s3.objects.size).toBe(0);
    guest.destroy();
  });

  test("ten thousand chunks of a byte each hold nobody up", async () => {
    const guest = await upload(framed(Array(10_000).fill("z") as string[], true), 10_000);
    const other = await run("curl", ["-sS", `https://${NAMES.s3}:${s3.port}/reflect`], { env: edge.guestEnv() });
    expect(other.stdout).toBe("reflected");
    expect(await guest.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200/);
    expect(s3.objects.get("/bucket/chunks")?.length).toBe(10_000);
    guest.destroy();
  });
});

test("nothing of the keys is in the audit, the log or the metrics", async () => {
  await run("curl", ["-sS", `https://${NAMES.s3}:${s3.port}/reflect`], { env: edge.guestEnv() });
  const told = JSON.stringify(await edge.audit()) + (await edge.metrics()) + JSON.stringify(bareEnv());
  expect(told).not.toContain(KEYS.secretAccessKey);
  expect(told).not.toContain(KEYS.sessionToken);
});
