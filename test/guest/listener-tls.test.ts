import { once } from "node:events";
import { createHash, X509Certificate } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { SessionProof } from "../../src/core/wire.ts";
import { altNamesOf } from "../../src/guest/client-certificate.ts";
import { makeCa, type TestCa, type TestLeaf } from "../house/support/certificates.ts";
import { guestOn, type RawGuest } from "../hostile/raw-guest.ts";
import {
  eventually,
  type Joined,
  type JoinedOptions,
  type Scripted,
  startJoined,
  startScripted,
} from "../line/support/joined.ts";

/** TLS that a listener ends itself: what it proves of guests, and how connections in it end. */

let directory: string;
let ca: TestCa;
let own: TestLeaf;
let guestLeaf: TestLeaf;
let stranger: TestLeaf;
let joined: Joined;
let upstream: Scripted;
const proofs: SessionProof[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-listener-tls-"));
  ca = await makeCa(join(directory, "ca"));
  own = await ca.issue(["localhost", "api.test"]);
  guestLeaf = await ca.issue(["guest.test", "10.0.0.7"]);
  stranger = await (await makeCa(join(directory, "other"))).issue(["guest.test"]);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

afterEach(async () => {
  await joined.stop();
  await upstream.close();
  proofs.length = 0;
  expect(joined.faults).toEqual([]);
});

type Clients = "none" | "required" | "optional";

async function start(serve: Parameters<typeof startScripted>[0], clients: Clients, options: JoinedOptions = {}) {
  upstream = await startScripted(serve);
  joined = await startJoined({
    leaf: own,
    ports: ({ sessions }) => ({
      sessions: {
        identify(proof) {
          proofs.push(proof);
          return sessions.identify(proof);
        },
      },
    }),
    ...options,
    listener: {
      tls: {
        certificate: own.certificate,
        key: own.key,
        clients: clients === "none" ? null : { ca: ca.certificate, required: clients === "required" },
      },
    },
  });
}

interface Secured {
  readonly guest: RawGuest;
  readonly socket: TLSSocket;
  readonly transport: Socket;
}

async function open(more: ConnectionOptions = {}): Promise<Secured> {
  const transport = connect(joined.port, "127.0.0.1");
  transport.on("error", () => undefined);
  const socket = connectTls({ socket: transport, servername: "localhost", ca: ca.certificate, ...more });
  socket.on("error", () => undefined);
  await once(socket, "secureConnect");
  return { guest: guestOn(socket), socket, transport };
}

const certificateOf = ({ certificate: cert, key }: TestLeaf): ConnectionOptions => ({ cert, key });
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const request = (fields = ""): string =>
  `GET http://api.test:${upstream.port}/x HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n${fields}\r\n`;

async function asked(more: ConnectionOptions): Promise<Secured> {
  const secured = await open(more);
  secured.guest.send(request());
  await secured.guest.until(/ok$/);
  return secured;
}

describe("the proof", () => {
  test.each(["required", "optional"] as const)(
    "%s: a certificate that verifies is in it, for each exchange",
    async (clients) => {
      await start((socket) => socket.write(OK), clients);
      const { guest, socket } = await asked(certificateOf(guestLeaf));
      guest.send(request());
      await guest.until(/ok[^]*ok$/);
      socket.destroy();
      const certificate = {
        sha256: createHash("sha256").update(new X509Certificate(guestLeaf.certificate).raw).digest("hex"),
        commonName: "leaf",
        altNames: ["DNS:guest.test", "IP Address:10.0.0.7"],
      };
      const proof = { listener: "guests", proxyAuthorization: null, clientCertificate: certificate };
      expect(proofs).toEqual([proof, proof]);
    },
  );

  test("it is the tunnel's as well", async () => {
    await start((socket) => socket.write(OK), "required");
    const { guest, socket } = await open(certificateOf(guestLeaf));
    guest.send(`CONNECT api.test:${upstream.port} HTTP/1.1\r\nProxy-Authorization: Basic eA==\r\n\r\n`);
    await guest.until(/^HTTP\/1\.1 200 [^]*\r\n\r\n$/);
    guest.send(`GET /x HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
    await guest.until(/ok$/);
    socket.destroy();
    expect(proofs).toHaveLength(2);
    expect(proofs[1]).toBe(proofs[0]);
    expect(proofs[0]).toMatchObject({ proxyAuthorization: "Basic eA==", clientCertificate: { commonName: "leaf" } });
  });

  test.each([
    ["none", () => ({})],
    ["one of another CA", () => certificateOf(stranger)],
  ])("optional: %s proves nothing", async (_name, more) => {
    await start((socket) => socket.write(OK), "optional");
    (await asked(more())).socket.destroy();
    expect(proofs).toMatchObject([{ clientCertificate: null }]);
  });

  test("not asked for: a certificate proves nothing", async () => {
    await start((socket) => socket.write(OK), "none");
    (await asked(certificateOf(guestLeaf))).socket.destroy();
    expect(proofs).toMatchObject([{ clientCertificate: null }]);
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "nothing is resumed where certificates are asked for: %s",
    async (version) => {
      await start((socket) => socket.write(OK), "optional");
      const sessions: Buffer[] = [];
      const transport = connect(joined.port, "127.0.0.1");
      const first = connectTls({ socket: transport, servername: "localhost", ca: ca.certificate, maxVersion: version });
      first.on("session", (session) => sessions.push(session));
      await once(first, "secureConnect");
      const guest = guestOn(first);
      guest.send(request());
      await guest.until(/ok$/);
      first.destroy();
      for (const session of sessions) {
        const { socket } = await asked({ session, maxVersion: version });
        expect(socket.isSessionReused()).toBe(false);
        socket.destroy();
      }
      for (const { clientCertificate } of proofs) expect(clientCertificate).toBeNull();
    },
  );

  test("names are told apart, whatever is in them", () => {
    expect(altNamesOf(undefined)).toEqual([]);
    expect(altNamesOf('DNS:a.test, URI:spiffe://test/ci, DNS:"b\\u002c DNS:evil.test"')).toEqual([
      "DNS:a.test",
      "URI:spiffe://test/ci",
      "DNS:b, DNS:evil.test",
    ]);
  });
});

describe("ends", () => {
  const BROKEN = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf";

  test("an answer that breaks off is a reset of the connection below", async () => {
    await start((socket) => socket.end(BROKEN), "none");
    const { guest, socket } = await open();
    const failed = once(socket, "error");
    guest.send(request());
    await expect(failed).resolves.toMatchObject([{ code: "ECONNRESET" }]);
    expect(guest.text).toMatch(/half$/);
    await eventually(() => joined.records.length === 1, "the record");
    expect(joined.records).toMatchObject([{ outcome: "upstream_aborted" }]);
  });

  test("in TLS within TLS, too", async () => {
    await start((socket) => socket.end(BROKEN), "none", { destination: { scheme: "http" } });
    const { guest, socket } = await open();
    guest.send(`CONNECT api.test:${upstream.port} HTTP/1.1\r\n\r\n`);
    await guest.until(/^HTTP\/1\.1 200 [^]*\r\n\r\n$/);
    socket.removeAllListeners("data");
    const inner = connectTls({ socket, servername: "api.test", ca: ca.certificate, ALPNProtocols: ["http/1.1"] });
    inner.on("error", () => undefined);
    await once(inner, "secureConnect");
    const inside = guestOn(inner);
    const failed = once(inner, "error");
    inside.send(`GET /x HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
    await expect(failed).resolves.toMatchObject([{ code: "ECONNRESET" }]);
    await eventually(() => joined.records.length === 2, "the records");
    await eventually(() => joined.listener.openConnections === 0, "the end");
  });

  test("a guest that says goodbye has left: nobody waits for its answer", async () => {
    await start(() => undefined, "none");
    const { guest, socket } = await open();
    guest.send(request());
    await eventually(() => upstream.sockets.length === 1, "the request");
    socket.end();
    await eventually(() => joined.records.length === 1, "the record");
    expect(joined.records).toMatchObject([{ outcome: "guest_aborted" }]);
    await eventually(() => joined.listener.openConnections === 0, "the end");
  });

  test("an upgraded stream goes through", async () => {
    const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    await start((socket, text) => socket.write(text.endsWith("tick") ? "tock" : SWITCH), "none");
    const { guest, socket } = await open();
    guest.send(request("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    await guest.until(/^HTTP\/1\.1 101 [^]*\r\n\r\n$/);
    guest.send("tick");
    await guest.until(/tock$/);
    socket.end();
    await guest.ended();
    await eventually(() => joined.records.length === 1, "the record");
    expect(joined.records).toMatchObject([{ status: 101, outcome: "completed" }]);
  });

  test("a broken record after the handshake ends the connection", async () => {
    await start(() => undefined, "none");
    const { guest, transport } = await open();
    transport.write("GET / HTTP/1.1\r\n\r\n");
    await guest.ended();
    await eventually(() => joined.listener.openConnections === 0, "the end");
  });
});

describe("connections that are still arriving", () => {
  test("count from accept on; who comes on top is closed unanswered", async () => {
    await start(() => undefined, "none", { limits: { connections: 1 } });
    const silent = connect(joined.port, "127.0.0.1");
    await eventually(() => joined.listener.openConnections === 1, "the connection");
    const next = guestOn(connect(joined.port, "127.0.0.1"));
    expect(await next.ended()).toBe("");
    expect(joined.records).toMatchObject([{ kind: "connection", denial: "connection_limit", outcome: "denied" }]);
    silent.destroy();
  });

  test("are closed by a drain, and were refused by nobody", async () => {
    await start(() => undefined, "none", { timeouts: { drainMs: 20_000 } });
    const half = guestOn(connect(joined.port, "127.0.0.1"));
    half.send("\x16\x03\x01\x02\x00\x01");
    const { guest } = await open();
    await eventually(() => joined.listener.openConnections === 2, "the connections");
    await joined.drain();
    await half.ended();
    await guest.ended();
    expect(joined.records).toEqual([]);
    expect(joined.listener.openConnections).toBe(0);
  });

  test("a renewed certificate is for the next handshake; one that does not fit is refused", async () => {
    await start((socket) => socket.write(OK), "none");
    const renewed = await ca.issue(["localhost"]);
    expect(() => joined.listener.renewTls({ certificate: renewed.certificate, key: own.key, clients: null })).toThrow(
      /key values mismatch/,
    );
    const before = await open();
    joined.listener.renewTls({ certificate: renewed.certificate, key: renewed.key, clients: null });
    const after = await open();
    const shown = [before, after].map(({ socket }) => socket.getPeerX509Certificate()?.serialNumber);
    expect(shown).toEqual([own, renewed].map(({ certificate }) => new X509Certificate(certificate).serialNumber));
    before.guest.send(request());
    await before.guest.until(/ok$/);
    before.socket.destroy();
    after.socket.destroy();
  });
});
