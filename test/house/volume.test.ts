import { createHash } from "node:crypto";
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CLIENT_WAYS, type House, OVER_HTTP2, startHouse, WAYS } from "./support/house.ts";
import { growthMb, tellsMemory } from "./support/memory.ts";
import { patternBytes, patternSha256, patternStream } from "./support/pattern.ts";
import { startRawUpstream } from "./support/raw-upstream.ts";

/** Bodies that do not fit into memory, and partners that do not read: the edge holds a little of each, never all. */

const MEGABYTE = 1_000_000;
/** The way with TLS on both sides carries the gigabyte; the others show that they are flat as well. */
const BODIES = { [WAYS[0]]: 1000 * MEGABYTE, [WAYS[1]]: 300 * MEGABYTE, [OVER_HTTP2]: 300 * MEGABYTE };
/** What buffers may add to an edge that has warmed up, `MB`. */
const FLAT_MB = 80;

/** Of a busy machine, `ms`. */
const patience = { timeout: 300_000 };

let house: House;
const arrived: Socket[] = [];

beforeAll(async () => {
  const respond = (socket: Socket): void => void arrived.push(socket);
  house = await startHouse({
    others: async (ca) => ({
      "raw.test": await startRawUpstream(respond, { tls: await ca.issue(["raw.test"]) }),
      "plain-raw.test": await startRawUpstream(respond),
    }),
  });
  for (const way of CLIENT_WAYS) await house.curl(way, "/download?bytes=20000000", "-o", "/dev/null");
});

afterAll(() => house?.stop());

beforeEach(() => {
  house.reset();
  for (const socket of arrived.splice(0)) socket.destroy();
});

const title = tellsMemory ? "in flat memory" : "(memory: skipped, only Linux tells it)";

/** @returns what the edge grew by, where the system tells it */
async function grown(work: () => Promise<void>): Promise<number> {
  if (tellsMemory) return growthMb(house.edge.process.pid, work);
  await work();
  return 0;
}

describe.each(CLIENT_WAYS)("%s", (way) => {
  const version = way === OVER_HTTP2 ? "--http2" : "--http1.1";
  const bytes = BODIES[way];
  const sha256 = patternSha256(bytes);

  test(`${bytes / MEGABYTE} MB down, ${title}`, patience, async () => {
    const growth = await grown(async () =>
      expect(await download(version, house.url(way, `/download?bytes=${bytes}`))).toEqual({ code: 0, sha256 }),
    );
    expect(growth).toBeLessThan(FLAT_MB);
  });

  test(`${bytes / MEGABYTE} MB up, ${title}`, patience, async () => {
    const growth = await grown(async () => {
      const curl = spawn("curl", ["-sS", version, "-T", "-", "-H", "Expect:", house.url(way, "/upload")], {
        env: house.edge.guestEnv(),
        stdio: "pipe",
      });
      const [code] = await Promise.all([once(curl, "close"), pipeline(patternStream(0, bytes), curl.stdin)]);
      expect(code).toEqual([0, null]);
    });
    const [seen] = house.upstream(way).requests;
    expect(seen).toMatchObject({ body: "complete", bodyBytes: bytes, bodySha256: sha256 });
    expect(growth).toBeLessThan(FLAT_MB);
  });
});

async function download(version: string, url: string): Promise<{ code: unknown; sha256: string }> {
  const curl = spawn("curl", ["-sS", version, url], { env: house.edge.guestEnv(), stdio: "pipe" });
  const hash = createHash("sha256");
  curl.stdout.on("data", (chunk: Buffer) => hash.update(chunk));
  const [code] = (await once(curl, "close")) as [unknown];
  return { code, sha256: hash.digest("hex") };
}

describe.each(["raw.test", "plain-raw.test"])("%s", (name) => {
  const BYTES = 60 * MEGABYTE;

  test("a guest that does not read holds the upstream back", async () => {
    const guest = await house.rawTo(name);
    guest.request("GET", "/");
    const upstream = await upstreamSocket();
    guest.socket.pause();
    let sent: Promise<void> = Promise.resolve();
    const growth = await grown(async () => {
      upstream.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BYTES}\r\n\r\n`);
      sent = pipeline(patternStream(0, BYTES), upstream, { end: false });
      expect(await standstill(() => upstream.bytesWritten)).toBeLessThan(BYTES);
    });
    expect(growth).toBeLessThan(30);
    guest.socket.resume();
    await sent;
    await expect.poll(() => guest.text.length, { timeout: 30_000 }).toBeGreaterThan(BYTES);
    const body = Buffer.from(guest.text.slice(guest.text.indexOf("\r\n\r\n") + 4), "latin1");
    expect(createHash("sha256").update(body).digest("hex")).toBe(patternSha256(BYTES));
    guest.destroy();
  });

  test("an upstream that does not read holds the guest back", async () => {
    const guest = await house.rawTo(name);
    guest.request("POST", "/", [`Content-Length: ${BYTES}`]);
    const upstream = await upstreamSocket();
    upstream.pause();
    const body = patternBytes(0, BYTES);
    const growth = await grown(async () => {
      let taken = 0;
      for (let at = 0; at < BYTES; at += MEGABYTE)
        guest.socket.write(body.subarray(at, at + MEGABYTE), () => (taken += MEGABYTE));
      expect(await standstill(() => taken)).toBeLessThan(BYTES);
    });
    expect(growth).toBeLessThan(30);
    upstream.resume();
    const received = (): number => house.others[name]?.received.at(-1)?.length ?? 0;
    await expect.poll(received, { timeout: 30_000 }).toBeGreaterThan(BYTES);
    upstream.write("HTTP/1.1 204 No Content\r\n\r\n");
    expect(await guest.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 204 /);
    guest.destroy();
  });
});

async function upstreamSocket(): Promise<Socket> {
  await expect.poll(() => arrived.length, { timeout: 20_000, interval: 5 }).toBe(1);
  return arrived[0] as Socket;
}

/** The figure once it has not moved for a while: a full buffer looks like this, and so does a machine that is busy. */
async function standstill(read: () => number): Promise<number> {
  let last = -1;
  for (let quiet = 0; quiet < 30;) {
    const now = read();
    quiet = now === last && now > 0 ? quiet + 1 : 0;
    last = now;
    await new Promise((done) => setTimeout(done, 10));
  }
  return last;
}
