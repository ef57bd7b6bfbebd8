import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type House, startHouse, WAYS } from "./support/house.ts";
import { patternSha256 } from "./support/pattern.ts";
import { closed, startRawUpstream } from "./support/raw-upstream.ts";
import { run } from "./support/run.ts";

/** Node's own fetch and https (NODE_USE_ENV_PROXY, NODE_EXTRA_CA_CERTS) and undici with its proxy agents. */

const clients = join(dirname(fileURLToPath(import.meta.url)), "clients");
let house: House;
const arrived: Socket[] = [];

beforeAll(async () => {
  house = await startHouse({
    others: async (ca) => ({
      "llm.test": await startRawUpstream((socket) => void arrived.push(socket), { tls: await ca.issue(["llm.test"]) }),
    }),
  });
});

afterAll(() => house?.stop());

beforeEach(() => house.reset());

describe.each(WAYS)("%s", (way) => {
  test.each(["fetch", "core", "ProxyAgent", "EnvHttpProxyAgent"])("%s", async (kind) => {
    const args = [join(clients, "client.mjs"), kind, house.url(way, ""), house.upstream(way).urlFor("other.test", "/")];
    const result = await run(process.execPath, args, { env: house.edge.guestEnv(), timeoutMs: 50_000 });
    if (result.code !== 0) throw new Error(result.stderr);
    const told = JSON.parse(result.stdout) as Record<string, unknown>;
    expect(told).toMatchObject({
      get: { method: "GET", url: "/hello?a=%2f", credential: "seen" },
      upload_stream: told["body_sha256"],
      upload_length: told["body_sha256"],
      head: "12345",
      redirect: 307,
      cookies: 2,
      download_sha256: patternSha256(3_000_000),
    });
    expect([told["broken_length"], told["broken_chunked"]]).not.toContain("none");
    if (kind === "core") expect(told["trailers"]).toEqual({ "x-checksum": "abc123", "x-late": "true" });
    else expect(told).toMatchObject({ encoded: true, parallel: 30, refused: "TypeError" });
    if (kind.endsWith("Agent")) expect(told["request"]).toMatchObject({ url: "/hello?a=%2f", credential: "seen" });
    expect(house.upstream(way).credentialless()).toBe(0);
  });
});

describe.each(WAYS)("%s", (way) => {
  test.each(["global", "undici"])("WebSocket and EventSource (%s)", async (kind) => {
    const urls = [house.url(way, "/ws").replace("http", "ws"), house.url(way, "/sse?events=3")];
    const args = ["--experimental-eventsource", join(clients, "listen.mjs"), kind, ...urls];
    const result = await run(process.execPath, args, { env: house.edge.guestEnv() });
    if (result.code !== 0) throw new Error(result.stderr);
    expect(JSON.parse(result.stdout)).toEqual({
      protocol: "chat",
      extensions: expect.stringContaining("permessage-deflate") as string,
      messages: ["text", 1 << 20],
      close: { code: 4321, reason: "asked to" },
      events: ["0 event 0", "1 event 1", "2 event 2"],
    });
    expect(house.upstream(way).credentialless()).toBe(0);
  });
});

test("a streamed chat completion: each token is printed before the next one is sent; an abort ends it upstream", async () => {
  const url = `https://llm.test:${house.others["llm.test"]?.port}/v1/chat/completions`;
  const program = spawn(process.execPath, [join(clients, "chat.mjs"), url], {
    env: house.edge.guestEnv(),
    stdio: "pipe",
  });
  const tokens: string[] = [];
  program.stdout.on("data", (chunk: Buffer) => tokens.push(chunk.toString()));
  await expect.poll(() => arrived.length, { timeout: 20_000, interval: 5 }).toBe(1);
  const upstream = arrived[0] as Socket;
  const gone = Promise.all([closed(upstream), once(program, "close")]);
  await expect.poll(() => house.others["llm.test"]?.received[0]).toMatch(/"stream":true/);
  upstream.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (const token of ["Once", "upon", "a", "time"]) {
    const event = `data: ${JSON.stringify({ choices: [{ delta: { content: token } }] })}\n\n`;
    upstream.write(`${event.length.toString(16)}\r\n${event}\r\n`);
    await expect.poll(() => tokens.join(""), { timeout: 20_000, interval: 5 }).toMatch(new RegExp(`${token}\n$`));
  }
  // The program aborts by itself after the fourth token.
  await gone;
  expect(tokens.join("")).toBe("Once\nupon\na\ntime\n");
});
