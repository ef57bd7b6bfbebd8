import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { makeCa, type TestCa, type TestLeaf } from "./support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { type Program, startProgram } from "./support/program.ts";
import { type RawUpstream, startRawUpstream } from "./support/raw-upstream.ts";
import { run, type RunResult } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** 0-RTT, as `openssl s_client -early_data` sends it: what could be replayed never reaches an upstream. */

/** OpenSSL has it, LibreSSL has not. */
const help = await run("openssl", ["s_client", "-help"]);
const there = (help.stdout + help.stderr).includes("-early_data");
const skipped = there ? "" : " (skipped: this openssl has no -early_data)";

let directory = "";
let upstreamCa: TestCa;
let leaf: TestLeaf;
/** Takes early data like a server that a careless operator set up. */
let server: Program;
let serverPort = 0;
let raw: RawUpstream;
let inspected: Upstream;
let edge: Edge;

beforeAll(async () => {
  if (!there) return;
  directory = await mkdtemp(join(tmpdir(), "postern-early-"));
  upstreamCa = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  leaf = await upstreamCa.issue(["early.test"]);
  const files = ["-cert", leaf.certificateFile, "-key", leaf.keyFile];
  server = startProgram("openssl", [
    "s_server",
    "-accept",
    "127.0.0.1:0",
    ...files,
    "-early_data",
    "-alpn",
    "http/1.1",
  ]);
  serverPort = Number((await server.until(/ACCEPT 127\.0\.0\.1:(\d+)\s/))[1]);
  raw = await startRawUpstream((socket) => socket.destroy());
  const demand = { in: "header", name: "authorization", value: "Bearer early-token-1f2e3d" } as const;
  inspected = await startUpstream({ tls: await upstreamCa.issue(["api.test"]), demand });
  const through = { tls: "passthrough", allow: undefined };
  edge = await startEdge({
    hosts: { "early.test": ["127.0.0.1"], "api.test": ["127.0.0.1"] },
    extraRoots: [upstreamCa.certificateFile],
    env: { UPSTREAM_TOKEN: "early-token-1f2e3d" },
    credentials: [
      { name: "api", kind: "token", source: { env: "UPSTREAM_TOKEN" }, hosts: [`api.test:${inspected.port}`] },
    ],
    destinations: [
      destinationFor({ address: "127.0.0.1", port: serverPort, scheme: "https" }, "early.test", {
        ...through,
        name: "server",
      }),
      destinationFor({ ...raw, scheme: "https" }, "early.test", { ...through, name: "raw" }),
      destinationFor(inspected, "api.test", { credential: "main/api", attach: { as: "bearer" } }),
    ],
  });
});

afterEach(() => inspected?.reset());

afterAll(async () => {
  await edge?.stop();
  await Promise.all([server?.stop(), raw?.close(), inspected?.close()]);
  await rm(directory, { recursive: true, force: true });
});

function to(name: string, port: number, ca: TestCa): string[] {
  const where = ["-connect", `${name}:${port}`, "-proxy", `127.0.0.1:${edge.proxyPort}`, "-servername", name];
  return ["s_client", ...where, "-alpn", "http/1.1", "-CAfile", ca.certificateFile, "-verify_return_error"];
}

function directly(): string[] {
  const where = ["-connect", `127.0.0.1:${serverPort}`, "-servername", "early.test"];
  return ["s_client", ...where, "-alpn", "http/1.1", "-CAfile", upstreamCa.certificateFile, "-verify_return_error"];
}

/** Connects once and keeps the ticket. @returns the file, and how much early data the server says it takes, bytes */
async function session(name: string, args: readonly string[]): Promise<{ file: string; earlyBytes: number }> {
  const file = join(directory, name);
  const client = startProgram("openssl", [...args, "-sess_out", file]);
  // It says what came when it ends, and writes the file at once.
  await expect.poll(() => existsSync(file), { interval: 5 }).toBe(true);
  client.write("Q\n");
  await client.ended();
  const [, bytes] = await client.until(/Session Ticket arrived:[^]*Max Early Data: (\d+)/);
  return { file, earlyBytes: Number(bytes) };
}

async function early(args: readonly string[], file: string, data: string, input = ""): Promise<RunResult> {
  return run("openssl", [...args, "-sess_in", file, "-early_data", await dataFile(data), "-ign_eof"], { input });
}

async function dataFile(text: string): Promise<string> {
  const file = join(directory, "early-data");
  await writeFile(file, text);
  return file;
}

describe.skipIf(!there)(`a pass-through destination${skipped}`, () => {
  test("the client does send early data, and the server takes it: what follows is refused by the edge alone", async () => {
    const { file, earlyBytes } = await session("direct", directly());
    expect(earlyBytes).toBeGreaterThan(0);
    const args = [...directly(), "-sess_in", file, "-early_data", await dataFile("replay me")];
    const client = startProgram("openssl", args);
    await client.until(/Early data was accepted/);
    await client.stop();
    await server.until(/replay me/);
  });

  test("a hello that announces it is refused by name, and no byte of it goes on", async () => {
    const { file } = await session("refused", directly());
    const before = raw.received.length;
    const result = await early(to("early.test", raw.port, upstreamCa), file, "replay me through");
    expect(result.code).not.toBe(0);
    await expect
      .poll(async () => (await edge.audit()).at(-1))
      .toMatchObject({ kind: "connect", destination: "raw", denial: "early_data_refused", status: 200 });
    expect(raw.received.slice(before).join("")).toBe("");
  });

  test("a resumed session without it goes through", async () => {
    const { file } = await session("resumed", to("early.test", serverPort, upstreamCa));
    const client = startProgram("openssl", [...to("early.test", serverPort, upstreamCa), "-sess_in", file]);
    await client.until(/Reused, TLSv1\.3/);
    await client.stop();
  });
});

describe.skipIf(!there)(`an inspected destination${skipped}`, () => {
  const request = (path: string): string =>
    `GET ${path} HTTP/1.1\r\nHost: api.test:${inspected.port}\r\nConnection: close\r\n\r\n`;

  test("its tickets take none", async () => {
    const { earlyBytes } = await session("edge", to("api.test", inspected.port, edge.ca));
    expect(earlyBytes).toBe(0);
  });

  test("a client that sends some all the same has it thrown away; what it sends after the handshake is answered", async () => {
    const args = to("api.test", inspected.port, edge.ca);
    const { file } = await session("forced", args);
    await writeFile(file, withEarlyData(await readFile(file, "utf8"), 16_384));
    const result = await early(args, file, request("/early"), request("/late"));
    expect(result.stdout).toContain("Early data was rejected");
    expect(result.stdout).toContain("Reused, TLSv1.3");
    expect(result.stdout).toMatch(/HTTP\/1\.1 200 OK[^]*"url":"\/late","credential":"seen"/);
    expect(inspected.requests.map(({ url }) => url)).toEqual(["/late"]);
  });
});

/** The session as OpenSSL keeps it (PEM of SSL_SESSION_ASN1, a SEQUENCE of fields by rising tag), with max_early_data [15]. */
function withEarlyData(pem: string, bytes: number): string {
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
  const fields = der.subarray(headerBytes(der));
  let at = 0;
  while (at < fields.length && (fields[at] as number) < 0xaf) {
    const field = fields.subarray(at);
    at += headerBytes(field) + lengthOf(field);
  }
  const added = Buffer.of(0xaf, 4, 2, 2, bytes >> 8, bytes & 0xff);
  const body = Buffer.concat([fields.subarray(0, at), added, fields.subarray(at)]);
  const sequence = Buffer.concat([Buffer.of(0x30, 0x82, body.length >> 8, body.length & 0xff), body]);
  const lines = sequence.toString("base64").match(/.{1,64}/g) ?? [];
  return ["-----BEGIN SSL SESSION PARAMETERS-----", ...lines, "-----END SSL SESSION PARAMETERS-----", ""].join("\n");
}

/** X.690 §8.1.3: tag, then one byte below 128, or how many bytes the length has. */
function headerBytes(der: Buffer): number {
  const first = der[1] as number;
  return first < 0x80 ? 2 : 2 + (first & 0x7f);
}

function lengthOf(der: Buffer): number {
  const first = der[1] as number;
  return first < 0x80 ? first : der.readUIntBE(2, first & 0x7f);
}
