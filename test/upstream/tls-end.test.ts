import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  connect,
  type ConnectionOptions,
  createServer as createTlsServer,
  type SecureVersion,
  type TLSSocket,
} from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { watchEnd } from "../../src/upstream/tls-end.ts";
import { makeCa, type TestCa, type TestLeaf } from "../house/support/certificates.ts";

/** Every way in which a TLS connection ends: only one of them was the peer's wish. */

let directory = "";
let ca: TestCa;
let leaf: TestLeaf;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-tls-end-"));
  ca = await makeCa(directory);
  leaf = await ca.issue(["api.test"]);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

const END = "the end";
const SMALL = END;
const LARGE = "x".repeat(3_000_000) + END;
/** The first bytes of a record that never comes whole: anybody on the way can write them. */
const PART_OF_A_RECORD = Buffer.from([0x17, 0x03, 0x03, 0x00, 0x50, 1, 2, 3]);

interface Way {
  /** Sends nothing more and says so. */
  readonly server: "closes" | "stays";
  /** What stands on the way, told when everything has passed it. */
  readonly relay: (guest: Socket) => void;
  /** It goes on to hand on what the server says. */
  readonly passesEnd: boolean;
}

const announced: readonly (readonly [string, Way])[] = [
  ["close_notify, then FIN", { server: "closes", relay: () => undefined, passesEnd: true }],
  ["close_notify alone", { server: "closes", relay: () => undefined, passesEnd: false }],
];
const cut: readonly (readonly [string, Way])[] = [
  ["a FIN alone", { server: "stays", relay: (guest) => void guest.end(), passesEnd: false }],
  [
    "a FIN in the middle of a record",
    { server: "stays", relay: (guest) => void guest.end(PART_OF_A_RECORD), passesEnd: false },
  ],
];

describe.each<SecureVersion>(["TLSv1.3", "TLSv1.2"])("%s", (version) => {
  describe.each([
    ["little, read at once", SMALL, false],
    ["much, read at once", LARGE, false],
    ["much, read with pauses", LARGE, true],
  ])("%s", (_amount, body, isSlow) => {
    test.each(announced)("%s: the peer's own end", async (_name, way) => {
      expect(await isEndAnnounced(version, body, way, isSlow)).toBe(true);
    });

    test.each(cut)("%s: may be anybody's", async (_name, way) => {
      expect(await isEndAnnounced(version, body, way, isSlow)).toBe(false);
    });
  });
});

test("a plain connection knows no other end than a FIN", async () => {
  const server = createServer((socket) => void socket.end(END));
  const socket = connectTcp({ host: "127.0.0.1", port: await listen(server), allowHalfOpen: true });
  const isAnnounced = watchEnd(socket);
  socket.resume();
  await once(socket, "end");
  expect(isAnnounced()).toBe(true);
  socket.destroy();
  server.close();
});

/** @returns what `watchEnd` says of the end that a client saw after it had read all of `body` */
async function isEndAnnounced(version: SecureVersion, body: string, way: Way, isSlow: boolean): Promise<boolean> {
  const options = { cert: leaf.certificate, key: leaf.key, minVersion: version, maxVersion: version } as const;
  const open: Socket[] = [];
  const server = createTlsServer({ ...options, allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    open.push(socket);
    socket.once("data", () => {
      if (way.server === "closes") socket.end(body);
      else socket.write(body);
    });
  });
  const serverPort = await listen(server);
  const guests: Socket[] = [];
  const relay = createServer({ allowHalfOpen: true }, (guest) => {
    guests.push(guest);
    const upstream = connectTcp({ host: "127.0.0.1", port: serverPort, allowHalfOpen: true });
    open.push(guest, upstream);
    for (const socket of [guest, upstream]) socket.on("error", () => undefined);
    guest.pipe(upstream);
    upstream.on("data", (chunk: Buffer) => guest.write(chunk));
    upstream.on("end", () => way.passesEnd && guest.end());
  });
  const to: ConnectionOptions & { readonly allowHalfOpen: boolean } = {
    host: "127.0.0.1",
    port: await listen(relay),
    servername: "api.test",
    ca: ca.certificate,
    allowHalfOpen: true,
  };
  const client = connect(to);
  client.on("secureConnect", () => client.write("go on"));
  const isAnnounced = await read(client, body.length, isSlow, () => way.relay(guests[0] as Socket));
  client.destroy();
  for (const socket of open) socket.destroy();
  await Promise.all([server, relay].map((each) => new Promise((done) => each.close(done))));
  return isAnnounced;
}

/** Reads to the end, watched from the first bytes on. @param onAll told once `length` bytes have come */
async function read(client: TLSSocket, length: number, isSlow: boolean, onAll: () => void): Promise<boolean> {
  let isAnnounced: (() => boolean) | null = null;
  let bytes = 0;
  client.on("data", (chunk: Buffer) => {
    isAnnounced ??= watchEnd(client);
    bytes += chunk.length;
    if (bytes === length) onAll();
    if (!isSlow) return;
    client.pause();
    setImmediate(() => client.resume());
  });
  await once(client, "end");
  expect(bytes).toBe(length);
  return isAnnounced !== null && (isAnnounced as () => boolean)();
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
