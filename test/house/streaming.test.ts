import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type House, startHouse, WAYS } from "./support/house.ts";
import { patternBytes } from "./support/pattern.ts";
import { closed, startRawUpstream } from "./support/raw-upstream.ts";
import { valuesOf } from "./support/recording.ts";

/** What is sent in parts arrives in parts. Every wait is for the other side, none is for a clock. */

let house: House;
/** Connections of the raw upstreams whose first bytes have come. */
const arrived: Socket[] = [];

beforeAll(async () => {
  const respond = (socket: Socket): void => void arrived.push(socket);
  house = await startHouse({
    others: async (ca) => ({
      "raw.test": await startRawUpstream(respond, { tls: await ca.issue(["raw.test"]) }),
      "plain-raw.test": await startRawUpstream(respond),
    }),
  });
});

afterAll(() => house?.stop());

beforeEach(() => house.reset());

afterEach(() => {
  for (const socket of arrived.splice(0)) socket.destroy();
});

/** The next connection that a raw upstream got a request on. */
async function upstreamSocket(): Promise<Socket> {
  await expect.poll(() => arrived.length, { timeout: 20_000, interval: 5 }).toBe(1);
  return arrived[0] as Socket;
}

const CHUNKED = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

describe.each(["raw.test", "plain-raw.test"])("an answer of %s", (name) => {
  test("server-sent events: each arrives before the next one is sent", async () => {
    const guest = await house.rawTo(name);
    guest.request("GET", "/events");
    const upstream = await upstreamSocket();
    upstream.write(CHUNKED);
    expect(await guest.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    for (let i = 0; i < 5; i++) {
      upstream.write(chunk(`data: event ${i}\n\n`));
      expect(await guest.until(new RegExp(`data: event ${i}\n\n`))).not.toContain(`event ${i + 1}`);
    }
    upstream.write("0\r\n\r\n");
    expect(await guest.until(/\r\n0\r\n\r\n$/)).toContain("event 4");
    guest.destroy();
  });

  test("a body by length, byte for byte as it comes", async () => {
    const guest = await house.rawTo(name);
    guest.request("GET", "/");
    const upstream = await upstreamSocket();
    upstream.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    for (const [i, byte] of Array.from("hello").entries()) {
      upstream.write(byte);
      await guest.until(new RegExp(`${"hello".slice(0, i + 1)}$`));
    }
    guest.destroy();
  });

  test("a head that comes in drips", async () => {
    const guest = await house.rawTo(name);
    guest.request("GET", "/");
    const upstream = await upstreamSocket();
    for (const byte of "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok") {
      upstream.write(byte);
      await new Promise((done) => setImmediate(done));
    }
    expect(await guest.until(/ok$/)).toBe("HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok");
    guest.destroy();
  });

  test("trailers", async () => {
    const guest = await house.rawTo(name);
    guest.request("GET", "/", ["TE: trailers"]);
    const upstream = await upstreamSocket();
    upstream.write("HTTP/1.1 200 OK\r\nTrailer: Server-Cost\r\nTransfer-Encoding: chunked\r\n\r\n");
    upstream.write(`${chunk("hello")}0\r\nServer-Cost: 7\r\nX-Checksum: abc\r\n\r\n`);
    const text = await guest.until(/0\r\n[^]*\r\n\r\n$/);
    expect(text).toMatch(/\r\n0\r\nServer-Cost: 7\r\nX-Checksum: abc\r\n\r\n$/);
    expect(text).toContain("\r\nTrailer: Server-Cost\r\n");
    guest.destroy();
  });

  test("the guest leaves while it waits: the upstream's connection ends", async () => {
    const guest = await house.rawTo(name);
    guest.request("GET", "/");
    const upstream = await upstreamSocket();
    guest.destroy();
    if (name === "plain-raw.test") upstream.write(CHUNKED);
    await gone(upstream);
  });

  test("the guest leaves in the middle of the answer: the upstream's connection ends", async () => {
    const guest = await house.rawTo(name);
    guest.request("GET", "/");
    const upstream = await upstreamSocket();
    upstream.write(CHUNKED + chunk("data: 1\n\n"));
    await guest.until(/data: 1/);
    guest.destroy();
    await gone(upstream);
  });

  test("curl is killed in the middle of the answer: the upstream's connection ends", async () => {
    const { scheme, port } = house.others[name]!;
    const curl = spawn("curl", ["-sSN", `${scheme}://${name}:${port}/`], { env: house.edge.guestEnv(), stdio: "pipe" });
    const upstream = await upstreamSocket();
    upstream.write(CHUNKED + chunk("data: 1\n\n"));
    await once(curl.stdout, "data");
    curl.kill("SIGKILL");
    await gone(upstream);
  });

  /**
   * Through TLS the guest's end is an end, at once. Over plain TCP its FIN may be a half-close, after which it still wants its
   * answer: that it is gone shows when the next bytes are answered by a reset.
   */
  async function gone(upstream: Socket): Promise<void> {
    const more = setInterval(() => name === "plain-raw.test" && upstream.write(chunk("data: more\n\n")), 5);
    await closed(upstream);
    clearInterval(more);
  }

  test("the guest leaves in the middle of its upload: the upstream never sees it whole", async () => {
    const guest = await house.rawTo(name);
    guest.request("POST", "/", ["Content-Length: 10"], "hello");
    const upstream = await upstreamSocket();
    await expect.poll(() => house.others[name]?.received.at(-1)).toMatch(/hello$/);
    guest.destroy();
    await closed(upstream);
    expect(house.others[name]?.received.at(-1)).toMatch(/hello$/);
  });
});

describe.each(WAYS)("%s", (way) => {
  test("full duplex: each part comes back before the next one is sent", async () => {
    const guest = await house.raw(way);
    guest.request("POST", "/echo-stream", ["Transfer-Encoding: chunked"]);
    for (const part of ["first", "second", "third"]) {
      guest.send(chunk(part));
      await guest.until(new RegExp(`\r\n${part}\r\n$`));
    }
    guest.send("0\r\n\r\n");
    expect(await guest.until(/\r\n0\r\n\r\n$/)).toMatch(/^HTTP\/1\.1 200 /);
    guest.destroy();
    expect(house.upstream(way).requests[0]).toMatchObject({ body: "complete", bodyBytes: 16 });
  });

  test("trailers of an upload", async () => {
    const guest = await house.raw(way);
    const fields = ["Trailer: Check-Sum", "Transfer-Encoding: chunked", "Connection: close"];
    guest.request("POST", "/upload", fields, `${chunk("hello")}0\r\nCheck-Sum: abc\r\nX-Late: 1\r\nHost: evil\r\n\r\n`);
    expect(await guest.ended()).toContain('"trailers":["Check-Sum","abc","X-Late","1"]');
    guest.destroy();
    expect(valuesOf(house.upstream(way).requests[0]!, "trailer")).toEqual(["Check-Sum"]);
  });

  test("an upload is broken where the guest broke it", async () => {
    const guest = await house.raw(way);
    guest.request("POST", "/upload", ["Transfer-Encoding: chunked"], chunk("hello"));
    await house.upstream(way).waitFor(1);
    await expect.poll(() => house.upstream(way).requests[0]?.bodyBytes).toBe(5);
    guest.destroy();
    await expect.poll(() => house.upstream(way).requests[0]?.body).toBe("broken");
  });

  test("20 MB to an upstream that reads late", async () => {
    const body = patternBytes(0, 20_000_000);
    const guest = await house.raw(way);
    guest.request("POST", "/upload?pause=300", [`Content-Length: ${body.length}`, "Connection: close"]);
    guest.send(body);
    expect(await guest.ended()).toContain('"bytes":20000000');
    guest.destroy();
  });
});
