import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { connect as connectTls, createSecureContext, createServer as createTlsServer } from "node:tls";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { RETRY_RANDOM } from "../guest/support/server-hello.ts";
import { openGuest } from "../hostile/raw-guest.ts";
import { makeCa, type TestCa } from "./support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { patternBytes } from "./support/pattern.ts";
import { closed } from "./support/raw-upstream.ts";

/**
 * HelloRetryRequest through `tls: passthrough`: a client of TLS 1.3 whose key share the server does not take says a second hello
 * in the clear, and OpenSSL takes the name of that one. Both ends are OpenSSL's.
 */

const ALLOWED = "allowed.test";
/** Of the same length, so that it can be put in the other's place. */
const SECRET = "secretz.test";
const BYTES = 300_000;

let directory = "";
let ca: TestCa;
let tlsServer: Server;
/** Before the TLS server: what came in on each connection, and what went out. */
let tap: Server;
const taps: { received: Buffer; sent: Buffer }[] = [];
/** Names that the server was asked for. */
const asked: string[] = [];
let edge: Edge;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-retry-"));
  ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  // The other key share.
  const options = { ecdhCurve: "P-384", minVersion: "TLSv1.3" } as const;
  const contexts = new Map<string, ReturnType<typeof createSecureContext>>();
  for (const name of [ALLOWED, SECRET]) {
    const { certificate: cert, key } = await ca.issue([name]);
    contexts.set(name, createSecureContext({ ...options, cert, key }));
  }
  const SNICallback = (
    name: string,
    done: (error: null, context?: ReturnType<typeof createSecureContext>) => void,
  ): void => {
    asked.push(name);
    done(null, contexts.get(name));
  };
  tlsServer = createTlsServer({ ...options, SNICallback }, (socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  tlsServer.on("tlsClientError", () => undefined);
  tap = createServer((socket) => relay(socket, (tlsServer.address() as AddressInfo).port));
  for (const server of [tlsServer, tap]) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  const { port } = tap.address() as AddressInfo;
  edge = await startEdge({
    hosts: { [ALLOWED]: ["127.0.0.1"] },
    destinations: [
      destinationFor({ address: "127.0.0.1", port, scheme: "https" }, ALLOWED, {
        tls: "passthrough",
        allow: undefined,
      }),
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  for (const server of [tap, tlsServer]) server?.close();
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  taps.length = 0;
  asked.length = 0;
});

function relay(socket: Socket, port: number): void {
  const there = connect({ port, host: "127.0.0.1" });
  const seen = { received: Buffer.alloc(0), sent: Buffer.alloc(0) };
  taps.push(seen);
  socket.on("data", (chunk: Buffer) => {
    seen.received = Buffer.concat([seen.received, chunk]);
  });
  there.on("data", (chunk: Buffer) => {
    seen.sent = Buffer.concat([seen.sent, chunk]);
  });
  for (const side of [socket, there]) side.on("error", () => undefined);
  socket.pipe(there).pipe(socket);
  socket.on("close", () => there.destroy());
  there.on("close", () => socket.destroy());
}

/**
 * A tunnel, and what a TLS client writes and reads in it.
 * @param forge changes what it writes, write by write
 */
async function throughTunnel(
  forge: (bytes: Buffer) => Buffer,
): Promise<{ wire: Duplex; seen: { written: Buffer; read: Buffer } }> {
  const authority = `${ALLOWED}:${(tap.address() as AddressInfo).port}`;
  const guest = await openGuest(edge.proxyPort);
  guest.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  await guest.until(/\r\n\r\n$/);
  const { socket } = guest;
  socket.removeAllListeners("data");
  const seen = { written: Buffer.alloc(0), read: Buffer.alloc(0) };
  const wire = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      const bytes = forge(chunk);
      seen.written = Buffer.concat([seen.written, bytes]);
      socket.write(bytes, () => done());
    },
    final: (done) => void socket.end(() => done()),
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (chunk: Buffer) => {
    seen.read = Buffer.concat([seen.read, chunk]);
    wire.push(chunk);
  });
  socket.on("end", () => wire.push(null));
  socket.on("close", () => wire.destroy());
  return { wire, seen };
}

const client = (wire: Duplex): ReturnType<typeof connectTls> =>
  connectTls({
    socket: wire,
    servername: ALLOWED,
    ca: [ca.certificate],
    ecdhCurve: "X25519:P-384",
    minVersion: "TLSv1.3",
  });

test("a client that is asked for a second hello says it, and goes on byte for byte", async () => {
  const { wire, seen } = await throughTunnel((bytes) => bytes);
  const secured = client(wire);
  await once(secured, "secureConnect");
  expect(secured.authorized).toBe(true);
  const sent = patternBytes(0, BYTES);
  let echoed = Buffer.alloc(0);
  secured.on("data", (chunk: Buffer) => {
    echoed = Buffer.concat([echoed, chunk]);
  });
  secured.write(sent);
  await expect.poll(() => echoed.length).toBe(BYTES);
  expect(echoed.equals(sent)).toBe(true);
  expect(seen.read.includes(RETRY_RANDOM)).toBe(true);
  expect(new Set(asked)).toEqual(new Set([ALLOWED]));
  expect(taps).toHaveLength(1);
  // With the server's tickets, which come when they come.
  await expect.poll(() => taps[0]?.sent.equals(seen.read)).toBe(true);
  expect(taps[0]?.received.equals(seen.written)).toBe(true);
  secured.destroy();
  await expect
    .poll(async () => (await edge.audit()).at(-1))
    .toMatchObject({
      kind: "connect",
      outcome: "completed",
      bytes_from_guest: seen.written.length,
      bytes_to_guest: seen.read.length,
    });
});

test("a second hello of another name never gets there: sni_mismatch", async () => {
  let first: Buffer | null = null;
  const { wire, seen } = await throughTunnel((bytes) => {
    if (first !== null) return Buffer.from(bytes.toString("latin1").replaceAll(ALLOWED, SECRET), "latin1");
    first = Buffer.from(bytes);
    return bytes;
  });
  const secured = client(wire);
  secured.on("error", () => undefined);
  await closed(secured);
  expect(seen.read.includes(RETRY_RANDOM)).toBe(true);
  expect(seen.written.includes(SECRET)).toBe(true);
  await expect
    .poll(async () => (await edge.audit()).at(-1))
    .toMatchObject({
      kind: "connect",
      denial: "sni_mismatch",
      outcome: "denied",
      bytes_from_guest: (first as Buffer | null)?.length,
      bytes_to_guest: seen.read.length,
    });
  expect(asked).not.toContain(SECRET);
  expect(taps.map(({ received }) => received.toString("hex"))).toEqual([(first as Buffer | null)?.toString("hex")]);
});
