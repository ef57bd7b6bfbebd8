import { createHash, createHmac, generateKeyPairSync, timingSafeEqual } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createVerifier, httpbis } from "http-message-signatures";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { denialIn, openTunnel } from "../hostile/raw-guest.ts";
import { type Asked2, type Http2Upstream, startHttp2 } from "../upstream/support/http2-server.ts";
import { makeCa } from "./support/certificates.ts";
import { type ConfigPart, destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { run, type RunResult } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** Signed requests, from a config file to an upstream that verifies them. */

const SHARED = "shared-key-4711-0815";
const WEBHOOK = `whsec_${Buffer.from("a webhook key of bytes").toString("base64")}`;
const ED = generateKeyPairSync("ed25519");
const RSA = generateKeyPairSync("rsa", { modulusLength: 2048 });
const EC = generateKeyPairSync("ec", { namedCurve: "P-256" });

const BODY_BYTES = 4096;
const covered = ["@method", "@target-uri", "@authority", "content-type?", "content-digest?"];
const parameters = ["created", "expires", "nonce", "alg", "keyid"];
const signature = { as: "message_signature", components: covered, parameters, body_bytes: BODY_BYTES };

interface Signed {
  readonly attach: ConfigPart | readonly ConfigPart[];
  readonly key: keyof typeof KEYS;
  /** Whether this request would be taken by the upstream of that scheme. */
  readonly verify: (got: Got) => boolean | Promise<boolean>;
}

/** A request as the upstream read it. */
interface Got {
  readonly host: string;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const pem = (key: typeof ED.privateKey): string => key.export({ type: "pkcs8", format: "pem" }) as string;
const KEYS = { SHARED, WEBHOOK, ED: pem(ED.privateKey), RSA: pem(RSA.privateKey), EC: pem(EC.privateKey) } as const;

const mac = (key: string | Buffer, ...parts: (string | Buffer)[]): Buffer => {
  const hmac = createHmac("sha256", key);
  for (const part of parts) hmac.update(part);
  return hmac.digest();
};

function equal(said: string | undefined, wanted: string): boolean {
  return said !== undefined && said.length === wanted.length && timingSafeEqual(Buffer.from(said), Buffer.from(wanted));
}

function isRecent(seconds: string | undefined): boolean {
  return Math.abs(Date.now() / 1000 - Number(seconds)) < 120;
}

async function verifyMessage(got: Got, algorithm: string, key: Parameters<typeof createVerifier>[0]): Promise<boolean> {
  const verify = createVerifier(key, algorithm);
  const { method, headers } = got;
  // A body is covered by its digest, and only by that.
  const digest = `sha-256=:${createHash("sha256").update(got.body).digest("base64")}:`;
  if (
    got.body.length > 0 &&
    (headers["content-digest"] !== digest || !headers["signature-input"]?.includes("content-digest"))
  )
    return false;
  const keyLookup = ({ keyid }: { keyid?: string }) =>
    Promise.resolve(keyid === "k1" ? { id: "k1", algs: [algorithm], verify } : null);
  const requiredFields = ["@method", "@target-uri", "@authority"];
  const url = `https://${got.host}${got.url}`;
  const config = { keyLookup, requiredFields, requiredParams: parameters, tolerance: 60 };
  return (await httpbis.verifyMessage(config, { method, url, headers: { ...headers } })) === true;
}

const SIGNED: Readonly<Record<string, Signed>> = {
  "github.test": {
    attach: { as: "hmac", preset: "github", body_bytes: BODY_BYTES },
    key: "SHARED",
    verify: ({ headers, body }) => equal(headers["x-hub-signature-256"], `sha256=${mac(SHARED, body).toString("hex")}`),
  },
  "slack.test": {
    attach: { as: "hmac", preset: "slack" },
    key: "SHARED",
    verify: ({ headers, body }) =>
      isRecent(headers["x-slack-request-timestamp"]) &&
      equal(
        headers["x-slack-signature"],
        `v0=${mac(SHARED, `v0:${headers["x-slack-request-timestamp"]}:`, body).toString("hex")}`,
      ),
  },
  "webhook.test": {
    attach: { as: "hmac", preset: "standard_webhooks" },
    key: "WEBHOOK",
    verify({ headers, body }) {
      const signed = [`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`, body];
      return (
        isRecent(headers["webhook-timestamp"]) &&
        equal(headers["webhook-signature"], `v1,${mac("a webhook key of bytes", ...signed).toString("base64")}`)
      );
    },
  },
  "stripe.test": {
    attach: { as: "hmac", preset: "stripe" },
    key: "SHARED",
    verify({ headers, body }) {
      const [, time, said] = /^t=(\d+),v1=([0-9a-f]+)$/.exec(headers["stripe-signature"] ?? "") ?? [];
      return isRecent(time) && equal(said, mac(SHARED, `${time}.`, body).toString("hex"));
    },
  },
  "canonical.test": {
    attach: {
      as: "hmac",
      algorithm: "sha512",
      sign: [
        "{method}",
        "{path}",
        "{query}",
        "{authority}",
        "{header:content-type}",
        "{header:x-date}",
        "{body_sha256:hex}",
      ],
      separator: "\n",
      signature_encoding: "base64",
      timestamp_format: "http_date",
      headers: { "X-Date": "{timestamp}", Authorization: "HMAC {key_id}:{signature}" },
    },
    key: "SHARED",
    verify({ headers, body, method, url, host }) {
      const { pathname, search } = new URL(`https://${host}${url}`);
      const digest = createHash("sha256").update(body).digest("hex");
      const text = [method, pathname, search.slice(1), host, headers["content-type"] ?? "", headers["x-date"], digest];
      const wanted = createHmac("sha512", SHARED).update(text.join("\n")).digest("base64");
      return (
        isRecent(String(Date.parse(headers["x-date"] ?? "") / 1000)) &&
        equal(headers["authorization"], `HMAC k1:${wanted}`)
      );
    },
  },
  "ed25519.test": {
    attach: { ...signature, algorithm: "ed25519" },
    key: "ED",
    verify: (got) => verifyMessage(got, "ed25519", ED.publicKey),
  },
  "rsa.test": {
    attach: { ...signature, algorithm: "rsa-pss-sha512" },
    key: "RSA",
    verify: (got) => verifyMessage(got, "rsa-pss-sha512", RSA.publicKey),
  },
  "ecdsa.test": {
    attach: { ...signature, algorithm: "ecdsa-p256-sha256" },
    key: "EC",
    verify: (got) => verifyMessage(got, "ecdsa-p256-sha256", EC.publicKey),
  },
  "both.test": {
    attach: [
      { as: "hmac", preset: "github" },
      { ...signature, algorithm: "hmac-sha256", components: [...covered, "x-hub-signature-256"] },
    ],
    key: "SHARED",
    verify: async (got) =>
      got.headers["signature-input"]?.includes('"x-hub-signature-256"') === true &&
      equal(got.headers["x-hub-signature-256"], `sha256=${mac(SHARED, got.body).toString("hex")}`) &&
      (await verifyMessage(got, "hmac-sha256", SHARED)),
  },
};
const HOSTS = Object.keys(SIGNED);

let directory = "";
let upstream: Upstream;
let http2: Http2Upstream;
let edge: Edge;
/** What the upstream made of each request. */
let verdicts: boolean[] = [];
let got: Got[] = [];
let once = new Set<string>();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-signing-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  upstream = await startUpstream({
    tls: await ca.issue(HOSTS),
    serve: (request, response) => void judge(request, response).catch(() => response.destroy()),
  });
  http2 = await startHttp2((asked) => void judge2(asked).catch(() => asked.stream.destroy()), {
    tls: await ca.issue(["h2.test"]),
  });
  const ports = { ...Object.fromEntries(HOSTS.map((name) => [name, upstream.port])), "h2.test": http2.port };
  edge = await startEdge({
    hosts: Object.fromEntries(Object.keys(ports).map((name) => [name, ["127.0.0.1"]])),
    extraRoots: [ca.certificateFile],
    env: KEYS,
    credentials: Object.keys(KEYS).map((name) => ({
      name: name.toLowerCase(),
      kind: "signing_key",
      key_id: "k1",
      source: { env: name },
      hosts: Object.entries(ports).map(([host, port]) => `${host}:${port}`),
    })),
    destinations: [
      ...Object.entries(SIGNED).map(([name, { attach, key }]) =>
        destinationFor(upstream, name, { credential: `main/${key.toLowerCase()}`, attach }),
      ),
      destinationFor({ address: "127.0.0.1", port: http2.port, scheme: "https" }, "h2.test", {
        http: "h2",
        credential: "main/ed",
        attach: SIGNED["ed25519.test"]?.attach,
      }),
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
  await http2?.close();
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  upstream.reset();
  verdicts = [];
  got = [];
  once = new Set();
});

/** Reads all of a request and tells whether its signature holds; `/reflect` sends every field back, `/once` says 401 at first. */
async function judge(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const { host = "" } = request.headers;
  const headers: Record<string, string> = {};
  for (const [name, values] of Object.entries(request.headersDistinct)) headers[name] = values?.join(", ") ?? "";
  const seen: Got = {
    host,
    method: request.method ?? "",
    url: request.url ?? "",
    headers,
    body: Buffer.concat(chunks),
  };
  got.push(seen);
  const isGood = (await SIGNED[host.replace(/:\d+$/, "")]?.verify(seen)) ?? false;
  verdicts.push(isGood);
  if (seen.url === "/once" && !once.has(host)) {
    once.add(host);
    response.writeHead(401, { "content-length": 0 }).end();
    return;
  }
  if (seen.url.startsWith("/reflect"))
    for (const [name, value] of Object.entries(headers)) response.setHeader(`x-reflect-${name}`, value);
  response.writeHead(isGood ? 200 : 403).end(isGood ? "verified" : "not verified");
}

async function judge2({ stream, raw }: Asked2): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  const pairs: Record<string, string> = {};
  for (let i = 0; i < raw.length; i += 2) pairs[raw[i] as string] = raw[i + 1] as string;
  const headers = Object.fromEntries(Object.entries(pairs).filter(([name]) => !name.startsWith(":")));
  const { ":authority": host = "", ":method": method = "", ":path": url = "" } = pairs;
  const isGood = await verifyMessage(
    { host, method, url, headers, body: Buffer.concat(chunks) },
    "ed25519",
    ED.publicKey,
  );
  verdicts.push(isGood);
  stream.respond({ ":status": isGood ? 200 : 403 });
  stream.end(isGood ? "verified" : "not verified");
}

let spoken = "";

function curl(name: string, path: string, ...args: string[]): Promise<RunResult> {
  const port = name === "h2.test" ? http2.port : upstream.port;
  return run("curl", ["-sS", spoken, "-i", ...args, `https://${name}:${port}${path}`], { env: edge.guestEnv() });
}

describe.each(["--http1.1", "--http2"])("curl %s", (version) => {
  beforeEach(() => {
    spoken = version;
  });

  describe.each([...HOSTS, "h2.test"])("%s verifies", (name) => {
    test.each<[string, string[]]>([
      ["a request without a body", []],
      ["a body with a length", ["-d", '{"a":1}', "-H", "Content-Type: application/json"]],
      ["a body in chunks", ["-d", "a=1&b=%20", "-H", "Transfer-Encoding: chunked"]],
      ["a guest that waits for leave", ["-d", "x".repeat(2000), "-H", "Expect: 100-continue"]],
      ["another method", ["-X", "PATCH", "-d", "x"]],
    ])("%s", async (_what, args) => {
      const result = await curl(name, "/v1/a?b=c&d=%2F", ...args);
      expect(result.stdout).toMatch(/\r\n\r\nverified$/);
      expect(verdicts).toEqual([true]);
    });
  });

  test("what the guest says in these fields is not what arrives", async () => {
    const fields = ["X-Hub-Signature-256", "Signature", "Signature-Input", "Content-Digest"].flatMap((name) => [
      "-H",
      `${name}: sig=:bWluZQ==:`,
      "-H",
      `${name.toUpperCase().replaceAll("-", "_")}: sig=:bWluZQ==:`,
    ]);
    const result = await curl("both.test", "/", "-d", "x", ...fields);
    expect(result.stdout).toMatch(/\r\n\r\nverified$/);
    expect(JSON.stringify(got[0]?.headers)).not.toContain("bWluZQ==");
  });

  test.each(HOSTS)("%s: an upstream that sends the signature back in its head shows the guest none", async (name) => {
    const result = await curl(name, "/reflect", "-d", "x");
    expect(result.stdout).toMatch(/x-reflect-host: /i);
    expect(verdicts).toEqual([true]);
    const { headers } = got[0] as Got;
    const signatures = [
      "x-hub-signature-256",
      "x-slack-signature",
      "webhook-signature",
      "stripe-signature",
      "signature",
      "authorization",
    ]
      .flatMap((field) => headers[field] ?? [])
      .map((value) => /(?:^|[=,: ])([0-9a-f]{64}|[A-Za-z0-9+/]{40,}={0,2})/.exec(value)?.[1] ?? value);
    expect(signatures.length).toBeGreaterThan(0);
    for (const text of signatures) expect(result.stdout).not.toContain(text);
  });

  test.each([
    ["by what its head says", []],
    ["by what comes", ["-H", "Transfer-Encoding: chunked"]],
  ])("a body that is too large is refused %s", async (_how, args) => {
    const result = await curl("github.test", "/", "-d", "x".repeat(BODY_BYTES + 1), ...args);
    expect(denialIn(result.stdout)).toBe("body_too_large");
    expect(got).toEqual([]);
    expect((await curl("github.test", "/", "-d", "x".repeat(BODY_BYTES), ...args)).stdout).toMatch(/\r\n\r\nverified$/);
  });
});

test.each(["canonical.test", "ed25519.test", "rsa.test"])(
  "%s: a request that is sent again is signed again",
  async (name) => {
    // Once for each of them: a lease that is rejected again so soon is kept.
    spoken = "--http1.1";
    const result = await curl(name, "/once");
    expect(result.stdout).toMatch(/\r\n\r\nverified$/);
    expect(verdicts).toEqual([true, true]);
    if (name !== "canonical.test") expect(got[0]?.headers["signature"]).not.toBe(got[1]?.headers["signature"]);
  },
);

test("a body that breaks off is signed for nobody", async () => {
  const guest = await openTunnel(edge.proxyPort, `github.test:${upstream.port}`, "github.test");
  guest.send(`POST / HTTP/1.1\r\nHost: github.test:${upstream.port}\r\nContent-Length: 10\r\n\r\nhalf`);
  guest.socket.end();
  await guest.ended();
  guest.destroy();
  expect(got).toEqual([]);
});

test("nothing of the keys or signatures is in audit, metrics or log", async () => {
  const { stdout } = await run("curl", ["-sS", "-i", "-d", "x", upstream.urlFor("github.test", "/")], {
    env: edge.guestEnv(),
  });
  expect(stdout).toMatch(/verified$/);
  const signed = got[0]?.headers["x-hub-signature-256"]?.slice("sha256=".length) ?? "none";
  const told = [JSON.stringify(await edge.audit()), await edge.metrics(), edge.process.output()].join("\n");
  for (const text of [signed, SHARED, WEBHOOK, "PRIVATE KEY"]) expect(told).not.toContain(text);
});
