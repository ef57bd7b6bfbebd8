import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { denialIn } from "../hostile/raw-guest.ts";
import { makeCa } from "./support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { run, type RunResult } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** A credential in the body, from a config file to an upstream that reads it out of there. */

const TOKEN = 'body-"token"/\\ 4711';
const BODY_BYTES = 4096;

/** What each host is sent, beside its name. */
const ATTACH = {
  "json.test": { as: "body", pointer: "/auth/api_key", body_bytes: BODY_BYTES },
  "form.test": { as: "body", field: "api_key", body_bytes: BODY_BYTES },
  "two.test": [
    { as: "header", name: "x-api-key" },
    { as: "body", pointer: "/key" },
  ],
} as const;
const HOSTS = Object.keys(ATTACH) as (keyof typeof ATTACH)[];

interface Got {
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

let directory = "";
let upstream: Upstream;
let edge: Edge;
let got: Got[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-body-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  upstream = await startUpstream({
    tls: await ca.issue(HOSTS),
    serve: (request, response) => void take(request, response),
  });
  edge = await startEdge({
    hosts: Object.fromEntries(HOSTS.map((name) => [name, ["127.0.0.1"]])),
    extraRoots: [ca.certificateFile],
    env: { TOKEN },
    credentials: [
      {
        name: "token",
        kind: "token",
        source: { env: "TOKEN" },
        hosts: HOSTS.map((name) => `${name}:${upstream.port}`),
      },
    ],
    destinations: HOSTS.map((name) =>
      destinationFor(upstream, name, { credential: "main/token", attach: ATTACH[name] }),
    ),
  });
});

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  upstream.reset();
  got = [];
});

/** Sends the body's credential back in a field, in three spellings. */
async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks).toString();
  got.push({ headers: request.headers, body });
  response.setHeader("x-reflect-json", JSON.stringify({ said: TOKEN }));
  response.setHeader("x-reflect-percent", encodeURIComponent(TOKEN));
  response.setHeader("x-reflect-raw", TOKEN);
  response.writeHead(200, { "content-length": 2 }).end("ok");
}

let spoken = "";

function curl(name: string, ...args: string[]): Promise<RunResult> {
  return run("curl", ["-sS", spoken, "-i", ...args, upstream.urlFor(name, "/v1")], { env: edge.guestEnv() });
}

const json = (body: string): string[] => ["-H", "Content-Type: application/json", "-d", body];

describe.each(["--http1.1", "--http2"])("curl %s", (version) => {
  beforeEach(() => {
    spoken = version;
  });

  describe.each<[string, string[]]>([
    ["a body with a length", []],
    ["a body in chunks", ["-H", "Transfer-Encoding: chunked"]],
    ["a guest that waits for leave", ["-H", "Expect: 100-continue"]],
  ])("%s", (_how, args) => {
    test("JSON: written, and the rest to the byte", async () => {
      const result = await curl("json.test", ...json('{ "n": 1.50, "auth": {"user":"\\u0061"} }'), ...args);
      expect(result.stdout).toMatch(/\r\n\r\nok$/);
      const wanted = `{ "n": 1.50, "auth": {"api_key":${JSON.stringify(TOKEN)},"user":"\\u0061"} }`;
      expect(got.map(({ body }) => body)).toEqual([wanted]);
      expect(got[0]?.headers["content-length"]).toBe(String(Buffer.byteLength(wanted)));
      expect(got[0]?.headers["transfer-encoding"]).toBeUndefined();
    });

    test("JSON: the guest's own is overwritten", async () => {
      await curl("json.test", ...json('{"auth":{"api_key":"mine"},"a":1}'), ...args);
      expect(got.map(({ body }) => body)).toEqual([`{"auth":{"api_key":${JSON.stringify(TOKEN)}},"a":1}`]);
    });

    test("a form: the guest's own are cut", async () => {
      await curl("form.test", "-d", "a=1&api_key=mine&b=%2f&api%5Fkey=mine", ...args);
      const [first] = got;
      expect(first?.body).toMatch(/^a=1&b=%2f&api_key=[^&]+$/);
      expect(new URLSearchParams(first?.body).getAll("api_key")).toEqual([TOKEN]);
    });
  });

  test("with a header beside it", async () => {
    await curl("two.test", ...json("{}"), "-H", "X-Api-Key: mine");
    expect(got[0]).toMatchObject({ body: `{"key":${JSON.stringify(TOKEN)}}`, headers: { "x-api-key": TOKEN } });
  });

  test.each<[string, string, string[]]>([
    ["no body", "json.test", []],
    ["a GET without one", "form.test", ["-X", "GET"]],
    ["two members", "json.test", json('{"auth":{},"auth":{"api_key":"mine"}}')],
    ["two, one escaped", "json.test", json('{"auth":{"api_key":1,"\\u0061pi_key":"mine"}}')],
    ["another case", "json.test", json('{"auth":{"API_KEY":"mine"}}')],
    ["deep JSON", "json.test", json(`{"a":${"[".repeat(1000)}${"]".repeat(1000)}}`)],
    ["a comment", "json.test", json('{"a":1 /* , "auth":{} */}')],
    ["no JSON", "json.test", json("api_key=mine")],
    ["JSON that says it is a form", "json.test", ["-d", '{"a":1}']],
    ["a form that says it is JSON", "form.test", json("a=1")],
    ["JSON in a coding", "json.test", [...json('{"a":1}'), "-H", "Content-Encoding: gzip"]],
    ["JSON in UTF-16", "json.test", ["-H", "Content-Type: application/json; charset=utf-16", "-d", '{"a":1}']],
    ["two types", "json.test", [...json('{"a":1}'), "-H", "Content_Type: application/x-www-form-urlencoded"]],
    ["several parts", "form.test", ["-F", "a=1"]],
    ["a list of the same name", "form.test", ["-d", "api_key[]=mine"]],
  ])("%s is refused, and nothing leaves", async (_name, host, args) => {
    expect(denialIn((await curl(host, ...args)).stdout)).toBe("body_unfit");
    expect(got).toEqual([]);
  });

  test("bytes that are no UTF-8 are refused", async () => {
    const type = ["-H", "Content-Type: application/json"];
    const result = await run(
      "curl",
      ["-sS", spoken, "-i", ...type, "--data-binary", "@-", upstream.urlFor("json.test", "/v1")],
      { env: edge.guestEnv(), input: Buffer.from('{"a":"\xff"}', "latin1") },
    );
    expect(denialIn(result.stdout)).toBe("body_unfit");
    expect(got).toEqual([]);
  });

  test("a body that is too large is refused", async () => {
    const result = await curl("json.test", ...json(JSON.stringify({ a: "x".repeat(BODY_BYTES) })));
    expect(denialIn(result.stdout)).toBe("body_too_large");
    expect(got).toEqual([]);
  });

  test("an upstream that sends it back in its head shows the guest none of it", async () => {
    const { stdout } = await curl("json.test", ...json("{}"));
    expect(stdout).toMatch(/x-reflect-json: /i);
    for (const text of [TOKEN, JSON.stringify(TOKEN).slice(1, -1), encodeURIComponent(TOKEN)])
      expect(stdout).not.toContain(text);
  });
});
