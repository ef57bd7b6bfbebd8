import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { destinationFor, type Edge, startEdge } from "../house/support/edge.ts";
import { startUpstream, type Upstream } from "../house/support/upstream.ts";
import { denialIn, openGuest, openTunnel } from "./raw-guest.ts";

/** Guests that are slow, silent, greedy or many: the edge stays up, bounded, and there for others. */

let upstream: Upstream;
let edge: Edge;

beforeAll(async () => {
  upstream = await startUpstream();
  edge = await startEdge({
    hosts: { "free.test": ["127.0.0.1"], "hung.test": ["127.0.0.1"] },
    destinations: [
      destinationFor(upstream, "free.test"),
      {
        name: "never-dialled",
        host: "hung.test",
        port: 9,
        scheme: "https",
        allow: [{ methods: ["*"], paths: ["/**"] }],
      },
    ],
    config: {
      limits: { connections: 60, connections_per_guest: 60 },
      timeouts: {
        request_head_ms: 1500,
        tls_hello_ms: 1500,
        guest_idle_ms: 2500,
        body_idle_ms: 1500,
        half_close_ms: 5000,
      },
    },
  });
});

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
});

async function rssMb(): Promise<number> {
  const status = await readFile(`/proc/${edge.process.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

async function othersAreServed(): Promise<void> {
  const guest = await openGuest(edge.proxyPort);
  guest.send(
    `GET http://free.test:${upstream.port}/inspect HTTP/1.1\r\nHost: free.test:${upstream.port}\r\nConnection: close\r\n\r\n`,
  );
  expect(await guest.ended()).toMatch(/^HTTP\/1\.1 200 /);
}

describe("slow guests", () => {
  test("a head that drips in is refused when its time is up, however it drips", async () => {
    const guest = await openGuest(edge.proxyPort);
    guest.send(`GET http://free.test:${upstream.port}/slow-head HTTP/1.1\r\n`);
    const drip = setInterval(() => guest.send("X: y\r\n"), 50);
    const text = await guest.ended();
    clearInterval(drip);
    expect(denialIn(text)).toBe("request_timeout");
    expect(upstream.requestsFor("/slow-head")).toHaveLength(0);
  });

  test("a connection that says nothing is closed", async () => {
    const guest = await openGuest(edge.proxyPort);
    expect(await guest.ended()).toBe("");
  });

  test("a connection that says nothing after its first exchange is closed", async () => {
    const guest = await openGuest(edge.proxyPort);
    guest.send(`GET http://free.test:${upstream.port}/status HTTP/1.1\r\nHost: free.test:${upstream.port}\r\n\r\n`);
    expect(await guest.ended()).toMatch(/^HTTP\/1\.1 204 /);
  });

  test("a guest that closes its sending side gets its answer", async () => {
    const guest = await openGuest(edge.proxyPort);
    guest.send(
      `GET http://free.test:${upstream.port}/slow?ms=300 HTTP/1.1\r\nHost: free.test:${upstream.port}\r\n\r\n`,
    );
    guest.socket.end();
    expect(await guest.ended()).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("a CONNECT that drips in is refused", async () => {
    const guest = await openGuest(edge.proxyPort);
    guest.send("CONNECT hung.test:9 HTTP/1.1\r\n");
    const drip = setInterval(() => guest.send("X: y\r\n"), 50);
    const text = await guest.ended();
    clearInterval(drip);
    expect(denialIn(text)).toBe("request_timeout");
  });

  test.each([
    ["nothing", ""],
    ["half a hello", "\x16\x03\x01\x02\x00\x01\x00"],
  ])("a tunnel in which %s comes is closed", async (_name, bytes) => {
    const guest = await openGuest(edge.proxyPort);
    guest.send("CONNECT hung.test:9 HTTP/1.1\r\n\r\n");
    await guest.until(/\r\n\r\n/);
    guest.send(bytes);
    await guest.ended();
    expect(guest.closed).toBe(true);
  });

  test("a body that stops coming is refused, and the upstream sees it broken", async () => {
    const guest = await openGuest(edge.proxyPort);
    guest.send(
      `POST http://free.test:${upstream.port}/upload?stalled HTTP/1.1\r\nHost: free.test:${upstream.port}\r\nContent-Length: 100\r\n\r\nhello`,
    );
    const text = await guest.ended();
    expect(text).not.toMatch(/HTTP\/1\.1 200/);
    for (const request of upstream.requestsFor("/upload")) expect(request.body).not.toBe("complete");
  });
});

describe("greedy guests", () => {
  test("10,000 pipelined requests whose answers nobody reads do not pile up", async () => {
    await othersAreServed();
    const before = await rssMb();
    const guest = await openGuest(edge.proxyPort);
    guest.socket.pause();
    const one = "GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n";
    let sent = 0;
    for (; sent < 200 && guest.socket.writableLength < 1_000_000; sent++) guest.send(one.repeat(2000));
    await othersAreServed();
    await expect.poll(async () => (await rssMb()) - before).toBeLessThan(60);
    guest.destroy();
  });

  test("pipelined requests are answered one after the other, in order", async () => {
    upstream.reset();
    const guest = await openGuest(edge.proxyPort);
    const one = (i: number): string =>
      `GET http://free.test:${upstream.port}/range?n=${i} HTTP/1.1\r\nHost: free.test:${upstream.port}\r\nRange: bytes=${i}-${i}\r\n\r\n`;
    guest.send(Array.from({ length: 200 }, (_, i) => one(i)).join(""));
    const text = await guest.until(/(?:content-range: bytes 199-199)/i);
    guest.destroy();
    const order = [...text.matchAll(/content-range: bytes (\d+)-/gi)].map((match) => Number(match[1]));
    expect(order).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  test("20,000 pipelined refusals inside one tunnel do not overflow anything", async () => {
    const guest = await openTunnel(edge.proxyPort, "hung.test:9", "hung.test");
    const one = "GET /x HTTP/1.1\r\nHost: other.test\r\n\r\n";
    guest.send(`${one.repeat(20_000)}GET /x HTTP/1.1\r\nHost: hung.test:9\r\nConnection: close\r\n\r\n`);
    const text = await guest.ended(50_000);
    expect(text.split("x-deny-reason: authority_mismatch").length - 1).toBe(20_000);
    guest.destroy();
    await othersAreServed();
  });
});

describe("many guests", () => {
  test("more connections than there may be are turned away by name, and room comes back", async () => {
    const guests = await Promise.all(Array.from({ length: 60 }, () => openGuest(edge.proxyPort)));
    const extra = await openGuest(edge.proxyPort);
    expect(denialIn(await extra.ended())).toBe("connection_limit");
    for (const guest of guests) guest.destroy();
    const next = async (): Promise<string | null> => {
      const guest = await openGuest(edge.proxyPort);
      guest.send("GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n");
      const code = denialIn(await guest.until(/\}\n$/));
      guest.destroy();
      return code;
    };
    await expect.poll(next).toBe("destination_not_allowed");
  });

  test("connections that are torn down in every state leave nothing behind", async () => {
    const states = [
      "",
      "GET http://free",
      "CONNECT hung.test:9 HTTP/1.1\r\n\r\n",
      "CONNECT hung.test:9 HTTP/1.1\r\n\r\n\x16\x03\x01",
      `GET http://free.test:${upstream.port}/slow?ms=60000 HTTP/1.1\r\nHost: free.test:${upstream.port}\r\n\r\n`,
      `GET http://free.test:${upstream.port}/download?bytes=100000000 HTTP/1.1\r\nHost: free.test:${upstream.port}\r\n\r\n`,
      `POST http://free.test:${upstream.port}/upload HTTP/1.1\r\nHost: free.test:${upstream.port}\r\nContent-Length: 1000000\r\n\r\nhello`,
      "GET http://denied.test/ HTTP/1.1\r\n\r\n",
    ];
    for (let round = 0; round < 20; round++) {
      const guests = await Promise.all(states.map(() => openGuest(edge.proxyPort)));
      guests.forEach((guest, i) => guest.send(states[i] as string));
      await new Promise((resolve) => setTimeout(resolve, 10));
      for (const guest of guests) {
        if (round % 2 === 0) guest.destroy();
        else guest.socket.resetAndDestroy();
      }
    }
    const open = async (): Promise<unknown[]> => {
      const metrics = await edge.metrics();
      return [/^postern_guest_connections (\d+)$/m, /^postern_tunnels (\d+)$/m].map((line) => line.exec(metrics)?.[1]);
    };
    await expect.poll(open).toEqual(["0", "0"]);
    await othersAreServed();
  });
});
