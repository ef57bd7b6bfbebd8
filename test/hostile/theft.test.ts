import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeCa } from "../house/support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "../house/support/edge.ts";
import { startRawUpstream } from "../house/support/raw-upstream.ts";
import { valuesOf } from "../house/support/recording.ts";
import { startUpstream, type Upstream } from "../house/support/upstream.ts";
import { denialIn, openGuest } from "./raw-guest.ts";

/** A guest that wants the credential: to see it, to replace it, to strip it, to send it elsewhere. */

const TOKEN = "right-token-5f2c8a91d3";
const FORMS = [
  TOKEN,
  Buffer.from(TOKEN).toString("base64"),
  Buffer.from(TOKEN).toString("hex"),
  encodeURIComponent(TOKEN),
];

let directory = "";
let plain: Upstream;
let edge: Edge;
const raw: { port: number; answer: string }[] = [];
let rawUpstream: Awaited<ReturnType<typeof startRawUpstream>>;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-hostile-"));
  await makeCa(join(directory, "unused-ca"), "Unused CA");
  plain = await startUpstream({ demand: { in: "header", name: "authorization", value: `Bearer ${TOKEN}` } });
  rawUpstream = await startRawUpstream((socket) => {
    const next = raw.shift();
    socket.end(Buffer.from(next?.answer ?? "", "latin1"));
  });
  const credential = { credential: "main/api", attach: { as: "bearer" }, plain_http_credential: "accept" };
  edge = await startEdge({
    hosts: { "api.test": ["127.0.0.1"], "raw.test": ["127.0.0.1"] },
    env: { UPSTREAM_TOKEN: TOKEN },
    credentials: [
      {
        name: "api",
        kind: "token",
        source: { env: "UPSTREAM_TOKEN" },
        hosts: [`api.test:${plain.port}`, `raw.test:${rawUpstream.port}`],
      },
    ],
    destinations: [destinationFor(plain, "api.test", credential), destinationFor(rawUpstream, "raw.test", credential)],
  });
});

afterAll(async () => {
  await edge?.stop();
  await Promise.all([plain?.close(), rawUpstream?.close()]);
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => plain.reset());

/** One exchange; the answer as the guest saw it. */
async function ask(host: string, port: number, path: string, lines: readonly string[] = []): Promise<string> {
  const guest = await openGuest(edge.proxyPort);
  const head = [
    `GET http://${host}:${port}${path} HTTP/1.1`,
    `Host: ${host}:${port}`,
    ...lines,
    "Connection: close",
    "",
    "",
  ];
  guest.send(head.join("\r\n"));
  const text = await guest.ended();
  guest.destroy();
  return text;
}

function withoutCredential(text: string): void {
  for (const form of FORMS) expect(text).not.toContain(form);
}

describe("a guest that says something about the injected field", () => {
  test.each([
    ["its own value", ["Authorization: Bearer mine"]],
    ["its own value, three times in three spellings", ["authorization: a", "AUTHORIZATION: b", "Authorization: c"]],
    ["a Connection that nominates it", ["Connection: authorization"]],
    ["its own value and a Connection that nominates it", ["Authorization: x", "Connection: Authorization, close"]],
    ["Proxy-Authorization", ["Proxy-Authorization: Basic Zm9vOmJhcg=="]],
    ["an empty value", ["Authorization:"]],
    ["a Latin-1 value", ["Authorization: \xff\xfe"]],
  ])("%s: the upstream sees the right one, once", async (_name, lines) => {
    const text = await ask("api.test", plain.port, "/inspect", lines);
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(plain.requests).toHaveLength(1);
    const [seen] = plain.requests;
    if (seen === undefined) throw new Error("no request");
    expect(valuesOf(seen, "authorization")).toEqual([`Bearer ${TOKEN}`]);
    expect(valuesOf(seen, "proxy-authorization")).toEqual([]);
    expect(valuesOf(seen, "connection").join()).not.toContain("authorization");
  });
});

describe("an upstream that sends it back in the head", () => {
  const bearer = `Bearer ${TOKEN}`;
  test.each([
    ["a field", `HTTP/1.1 200 OK\r\nX-Echo: ${bearer}\r\nContent-Length: 0\r\n\r\n`],
    [
      "a field in base64",
      `HTTP/1.1 200 OK\r\nX-Echo: ${Buffer.from(TOKEN).toString("base64")}\r\nContent-Length: 0\r\n\r\n`,
    ],
    [
      "a field in base64, shifted by one",
      `HTTP/1.1 200 OK\r\nX-Echo: ${Buffer.from(`x${TOKEN}`).toString("base64")}\r\nContent-Length: 0\r\n\r\n`,
    ],
    [
      "a field in hex",
      `HTTP/1.1 200 OK\r\nX-Echo: ${Buffer.from(TOKEN).toString("hex").toUpperCase()}\r\nContent-Length: 0\r\n\r\n`,
    ],
    ["the reason phrase", `HTTP/1.1 200 ${TOKEN}\r\nContent-Length: 0\r\n\r\n`],
    ["a redirect", `HTTP/1.1 302 Found\r\nLocation: https://evil.test/?t=${TOKEN}\r\nContent-Length: 0\r\n\r\n`],
    ["a cookie", `HTTP/1.1 200 OK\r\nSet-Cookie: t=${TOKEN}; Path=/\r\nContent-Length: 0\r\n\r\n`],
    [
      "a challenge",
      `HTTP/1.1 403 Forbidden\r\nWWW-Authenticate: Bearer error="bad ${TOKEN}"\r\nContent-Length: 0\r\n\r\n`,
    ],
    [
      "an interim answer",
      `HTTP/1.1 103 Early Hints\r\nLink: <${TOKEN}>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`,
    ],
    [
      "a trailer",
      `HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: ${TOKEN}\r\n\r\n`,
    ],
    ["a field name", `HTTP/1.1 200 OK\r\nX-${TOKEN}: 1\r\nContent-Length: 0\r\n\r\n`],
  ])("%s: it is masked", async (_name, answer) => {
    raw.push({ port: rawUpstream.port, answer });
    const text = await ask("raw.test", rawUpstream.port, "/");
    expect(text).toMatch(/^HTTP\/1\.1 (103|200|302|403) /);
    withoutCredential(text);
    expect(text).not.toContain(Buffer.from(`x${TOKEN}`).toString("base64").slice(4, -4));
  });
});

describe("an upstream that breaks the grammar", () => {
  test.each([
    ["conflicting lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    ["length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["a bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"],
    ["a folded field", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"],
    ["a bad version", "HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
    [
      "an upgrade that nobody asked for",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
    ["a flood of interim answers", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)],
    ["a head without an end", `HTTP/1.1 200 OK\r\nX: ${"a".repeat(70_000)}`],
    ["garbage", "\x00\x01\x02\x03\n"],
  ])("%s: upstream_protocol", async (_name, answer) => {
    raw.push({ port: rawUpstream.port, answer });
    const text = await ask("raw.test", rawUpstream.port, "/");
    // Interim answers before the flood was seen as one have gone out.
    expect(denialIn(text)).toBe("upstream_protocol");
  });

  test.each([
    ["a length that is not filled", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"],
    ["chunks without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
    ["a chunk that breaks off", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"],
    ["a chunk size that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"],
  ])("%s: the guest sees a broken answer, never a complete one", async (_name, answer) => {
    raw.push({ port: rawUpstream.port, answer });
    const text = await ask("raw.test", rawUpstream.port, "/");
    expect(text).toMatch(/^HTTP\/1\.1 (200|502) /);
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/);
    const body = text.slice(text.indexOf("\r\n\r\n") + 4);
    if (text.includes("Content-Length: 10")) expect(body.length).toBeLessThan(10);
  });

  test("bytes beyond the answer poison the connection: they answer nobody", async () => {
    const smuggled = "HTTP/1.1 200 OK\r\nX-Smuggled: 1\r\nContent-Length: 0\r\n\r\n";
    raw.push({ port: rawUpstream.port, answer: `HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n${smuggled}` });
    raw.push({ port: rawUpstream.port, answer: "HTTP/1.1 204 No Content\r\n\r\n" });
    const before = rawUpstream.connections;
    const first = await ask("raw.test", rawUpstream.port, "/");
    const second = await ask("raw.test", rawUpstream.port, "/");
    expect(first).not.toContain("X-Smuggled");
    expect(second).toMatch(/^HTTP\/1\.1 204 /);
    expect(rawUpstream.connections).toBe(before + 2);
  });
});

test("nothing that was written down holds the credential", async () => {
  for (const file of ["audit.jsonl"]) withoutCredential(await readFile(join(edge.directory, file), "utf8"));
  withoutCredential(edge.process.output());
  withoutCredential(await edge.metrics());
});
