import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { denialIn, guestOn, openGuest, type RawGuest } from "../hostile/raw-guest.ts";
import { makeCa, type TestCa } from "./support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { helloFor, inRecords, withExtension } from "./support/client-hello.ts";
import { patternSha256 } from "./support/pattern.ts";
import { closed, type RawUpstream, startRawUpstream } from "./support/raw-upstream.ts";
import { run } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** `tls: passthrough`: the edge sees the hello's name and nothing else; every byte goes through as it is. */

let directory = "";
let upstream: Upstream;
let raw: RawUpstream;
let half: RawUpstream;
/** What `half` does with a connection once its hello is there. */
let serveHalf: (socket: Socket) => void;
let edge: Edge;
let upstreamCa: TestCa;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-through-"));
  upstreamCa = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  upstream = await startUpstream({ tls: await upstreamCa.issue(["through.test"]) });
  raw = await startRawUpstream((socket) => socket.write("\x00\xffanything\r\n\r\n", "latin1"));
  half = await startRawUpstream((socket) => serveHalf(socket), { allowHalfOpen: true });
  const through = { tls: "passthrough", allow: undefined };
  edge = await startEdge({
    hosts: { "through.test": ["127.0.0.1"], "raw.test": ["127.0.0.1"], "half.test": ["127.0.0.1"] },
    destinations: [
      destinationFor(upstream, "through.test", through),
      destinationFor({ ...raw, scheme: "https" }, "raw.test", through),
      destinationFor({ ...half, scheme: "https" }, "half.test", through),
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  await Promise.all([upstream?.close(), raw?.close(), half?.close()]);
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => upstream.reset());

/** @param allowHalfOpen the guest ends its side when the test says so, and not because the other one did */
async function tunnelTo(name: string, port: number, allowHalfOpen = false): Promise<RawGuest> {
  const guest = guestOn(connect({ port: edge.proxyPort, host: "127.0.0.1", allowHalfOpen }));
  guest.send(`CONNECT ${name}:${port} HTTP/1.1\r\nHost: ${name}:${port}\r\n\r\n`);
  expect(await guest.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200 /);
  return guest;
}

const PIECES = Array.from({ length: 1000 }, (_, i) => `piece ${i}\n`);

/** Ends the side of a connection behind a thousand writes, each in a turn of its own. */
async function saidInPieces(socket: Socket): Promise<void> {
  for (const piece of PIECES) {
    socket.write(piece);
    await new Promise((done) => setImmediate(done));
  }
  socket.end();
}

async function bytesCounted(direction: string): Promise<number> {
  const line = new RegExp(`^postern_body_bytes_total\\{direction="${direction}"\\} (\\d+)$`, "m");
  return Number(line.exec(await edge.metrics())?.[1]);
}

/** The sum of what the audit says of every exchange. */
async function bytesWritten(direction: string): Promise<number> {
  const figures = (await edge.audit()).map((record) => Number(record[`bytes_${direction}`] ?? 0));
  return figures.reduce((sum, bytes) => sum + bytes, 0);
}

/** Waits for a line of the audit; those of tunnels that have just ended may follow it. */
async function onRecord(line: Readonly<Record<string, unknown>>): Promise<void> {
  await expect.poll(() => edge.audit()).toContainEqual(expect.objectContaining(line));
}

/** How many tunnels to `raw.test` the audit says were refused with this code. */
async function refusals(code: string): Promise<number> {
  return (await edge.audit()).filter(({ denial, destination }) => denial === code && destination === "raw-test").length;
}

const ECH = Buffer.alloc(200, 1);
const NONE = Buffer.alloc(0);

describe("a pass-through destination", () => {
  test("curl trusts the upstream's own CA, and gets its answer", async () => {
    const url = upstream.urlFor("through.test", "/download?bytes=5000000");
    const args = ["-sS", "--cacert", upstreamCa.certificateFile, url];
    const result = await run("curl", args, { env: edge.guestEnv() });
    expect(result).toMatchObject({ code: 0, stdoutSha256: patternSha256(5_000_000) });
    expect(upstream.requests[0]).toMatchObject({ serverName: "through.test" });
  });

  test("the edge's CA is of no use there", async () => {
    const result = await run("curl", ["-sS", upstream.urlFor("through.test", "/")], { env: edge.guestEnv() });
    expect(result.code).toBe(60);
  });

  test("every byte goes through as it is, both ways", async () => {
    const hello = await helloFor("raw.test");
    const guest = await tunnelTo("raw.test", raw.port);
    guest.send(hello);
    const text = await guest.until(/anything\r\n\r\n$/);
    expect(text.slice(text.indexOf("\r\n\r\n") + 4)).toBe("\x00\xffanything\r\n\r\n");
    guest.send("no TLS at all \x00\xff");
    const expected = `${hello.toString("latin1")}no TLS at all \x00\xff`;
    await expect.poll(() => raw.received.at(-1)).toBe(expected);
    guest.destroy();
  });

  test("every byte is counted, in the audit and in the metrics, the hello's as well", async () => {
    const hello = await helloFor("raw.test");
    const guest = await tunnelTo("raw.test", raw.port);
    guest.send(hello);
    await guest.until(/anything\r\n\r\n$/);
    guest.send(Buffer.alloc(100_000, "x"));
    await expect.poll(() => raw.received.at(-1)?.length).toBe(hello.length + 100_000);
    guest.destroy();
    const counted = { bytes_from_guest: hello.length + 100_000, bytes_to_guest: 14 };
    await onRecord({ kind: "connect", destination: "raw-test", outcome: "completed", ...counted });
    for (const direction of ["from_guest", "to_guest"])
      await expect.poll(async () => (await bytesCounted(direction)) - (await bytesWritten(direction))).toBe(0);
  });

  test("a hello in drips goes through as one", async () => {
    const hello = await helloFor("raw.test");
    const guest = await tunnelTo("raw.test", raw.port);
    for (const byte of hello) {
      guest.send(Buffer.from([byte]));
      await new Promise((done) => setImmediate(done));
    }
    await guest.until(/anything\r\n\r\n$/);
    await expect.poll(() => raw.received.at(-1)).toBe(hello.toString("latin1"));
    guest.destroy();
  });

  test.each([
    ["one segment", Number.POSITIVE_INFINITY],
    ["many segments, which end anywhere in records", 3],
  ])("a hello in many records and %s goes through as it was cut", async (_name, size) => {
    const hello = inRecords(await helloFor("raw.test"), [1, 2, 5, 31, 7]);
    const guest = await tunnelTo("raw.test", raw.port);
    for (let at = 0; at < hello.length; at += size) {
      guest.send(hello.subarray(at, at + size));
      await new Promise((done) => setImmediate(done));
    }
    await guest.until(/anything\r\n\r\n$/);
    await expect.poll(() => raw.received.at(-1)).toBe(hello.toString("latin1"));
    guest.destroy();
  });

  describe("half-close passes through", () => {
    test("the guest ends first, and hears all that the upstream says after it", async () => {
      const hello = await helloFor("half.test");
      serveHalf = (socket) => socket.once("end", () => void saidInPieces(socket));
      const guest = await tunnelTo("half.test", half.port);
      guest.socket.end(hello);
      const text = await guest.ended();
      expect(text.slice(text.indexOf("\r\n\r\n") + 4)).toBe(PIECES.join(""));
      await closed(guest.socket);
      await accounted(hello.length, PIECES.join("").length);
    });

    test("the upstream ends first, and hears all that the guest says after it", async () => {
      const hello = await helloFor("half.test");
      serveHalf = (socket) => socket.end("bye");
      const guest = await tunnelTo("half.test", half.port, true);
      guest.send(hello);
      expect(await guest.ended()).toMatch(/\r\n\r\nbye$/);
      await saidInPieces(guest.socket);
      await expect.poll(() => half.received.at(-1)).toBe(hello.toString("latin1") + PIECES.join(""));
      await closed(guest.socket);
      await accounted(hello.length + PIECES.join("").length, "bye".length);
    });

    const accounted = (bytes_from_guest: number, bytes_to_guest: number): Promise<void> =>
      onRecord({ destination: "half-test", outcome: "completed", bytes_from_guest, bytes_to_guest });
  });

  test.each([
    ["another name", "sni_mismatch", () => helloFor("other.test")],
    ["no name", "sni_missing", () => helloFor(undefined)],
    ["another name in many records", "sni_mismatch", async () => inRecords(await helloFor("other.test"), [1, 2, 5])],
    ["an encrypted hello inside", "ech_refused", async () => withExtension(await helloFor("raw.test"), 0xfe0d, ECH)],
    [
      "data ahead of the handshake",
      "early_data_refused",
      async () => withExtension(await helloFor("raw.test"), 42, NONE),
    ],
    ["no hello", "tunnel_unsupported", async () => Buffer.from("GET / HTTP/1.1\r\nHost: raw.test\r\n\r\n")],
  ])("a tunnel that begins with %s is closed: %s", async (_name, code, first) => {
    const before = raw.received.filter((text) => text !== "").length;
    const refusedBefore = await refusals(code);
    const guest = await tunnelTo("raw.test", raw.port);
    guest.send(await first());
    await guest.ended();
    guest.destroy();
    await expect.poll(() => refusals(code)).toBe(refusedBefore + 1);
    expect(raw.received.filter((text) => text !== "")).toHaveLength(before);
  });

  test("a plain request for it is refused", async () => {
    const guest = await openGuest(edge.proxyPort);
    const authority = `through.test:${upstream.port}`;
    guest.send(`GET https://${authority}/ HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n\r\n`);
    expect(denialIn(await guest.ended())).not.toBeNull();
    guest.destroy();
    expect(upstream.requests).toEqual([]);
  });
});
