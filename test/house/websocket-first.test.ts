import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { ClientHttp2Stream } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ClientOptions, WebSocket, WebSocketServer } from "ws";
import { clientText, frameHeader, serverClose } from "../../src/attach/websocket-frame.ts";
import { openHttp2 } from "../guest/support/h2-guest.ts";
import { openGuest } from "../hostile/raw-guest.ts";
import { makeCa } from "./support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { wsClosed, wsMessage } from "./support/ws-guest.ts";

/** An upstream that is told its key in the first message of a WebSocket; the guest holds a stand-in. */

const TOKEN = 'first-"message"-token';
const STAND_IN = "sk-postern-first-0001";
const hello = (key: string): string => JSON.stringify({ type: "connection_init", payload: { key } });

let directory = "";
let server: Server;
let port = 0;
let edge: Edge;
/** What the upstream was told, message by message, and how its connections ended. */
let told: string[] = [];
let ends: number[] = [];
let upgrades: Record<string, unknown>[] = [];
const sockets = new Set<Socket>();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-first-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const leaf = await ca.issue(["ws.test"]);
  server = createServer({ cert: leaf.certificate, key: leaf.key });
  const ws = new WebSocketServer({ server, perMessageDeflate: { threshold: 0 } });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  ws.on("connection", (client, request) => {
    upgrades.push({ ...request.headers });
    client.on("message", (data: Buffer, binary) => {
      told.push(binary ? `binary ${data.toString("hex")}` : data.toString());
      client.send(`got ${told.length}`);
    });
    client.on("error", () => undefined);
    client.on("close", (code) => ends.push(code));
    if (request.url === "/greets") client.send("welcome");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  ({ port } = server.address() as AddressInfo);
  edge = await startEdge({
    hosts: { "ws.test": ["127.0.0.1"] },
    extraRoots: [ca.certificateFile],
    env: { TOKEN },
    credentials: [{ name: "key", kind: "token", source: { env: "TOKEN" }, hosts: [`ws.test:${port}`] }],
    destinations: [
      destinationFor({ address: "127.0.0.1", port, scheme: "https" }, "ws.test", {
        credential: "main/key",
        attach: { as: "placeholder", value: STAND_IN, in: ["websocket:first"] },
      }),
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  for (const socket of sockets) socket.destroy();
  server?.close();
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  told = [];
  ends = [];
  upgrades = [];
});

async function open(path = "/", options: ClientOptions = {}): Promise<WebSocket> {
  const guest = await openGuest(edge.proxyPort);
  guest.send(`CONNECT ws.test:${port} HTTP/1.1\r\nHost: ws.test:${port}\r\n\r\n`);
  await guest.until(/\r\n\r\n/);
  guest.socket.removeAllListeners("data");
  const socket = new WebSocket(`wss://ws.test:${port}${path}`, {
    ...options,
    createConnection: () => connectTls({ socket: guest.socket, servername: "ws.test", ca: edge.ca.certificate }),
  });
  await once(socket, "open");
  return socket;
}

/** A WebSocket over HTTP/2 (RFC 8441), its frames by hand. */
async function openOverHttp2(): Promise<{ stream: ClientHttp2Stream; heard: () => Buffer; close: () => void }> {
  const session = await openHttp2(edge.proxyPort, `ws.test:${port}`);
  const stream = session.request(
    { ":method": "CONNECT", ":protocol": "websocket", ":path": "/", "sec-websocket-version": "13" },
    { endStream: false },
  );
  stream.on("error", () => undefined);
  let heard = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    heard = Buffer.concat([heard, chunk]);
  });
  const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
  expect(headers[":status"]).toBe(200);
  return { stream, heard: () => heard, close: () => session.destroy() };
}

const KEY = Buffer.from([5, 6, 7, 8]);

describe("a guest that speaks HTTP/1.1", () => {
  test("its first message carries the secret, the second passes as it is, compression is not agreed on", async () => {
    const socket = await open();
    expect(socket.extensions).toBe("");
    socket.send(hello(STAND_IN));
    expect((await wsMessage(socket)).toString()).toBe("got 1");
    socket.send("and on");
    await wsMessage(socket);
    socket.send(Buffer.from([1, 2, 3]));
    await wsMessage(socket);
    expect(told).toEqual([hello(TOKEN), "and on", "binary 010203"]);
    expect(upgrades[0]?.["sec-websocket-extensions"]).toBeUndefined();
    socket.close(4321, "done");
    expect(await wsClosed(socket)).toEqual([4321, "done"]);
    await expect.poll(() => ends).toEqual([4321]);
  });

  test("in fragments, with pings between them, behind a greeting", async () => {
    const socket = await open("/greets");
    const [half, rest] = [hello(STAND_IN).slice(0, 45), hello(STAND_IN).slice(45)];
    socket.send(half, { fin: false });
    socket.ping("are you there");
    const [payload] = (await once(socket, "pong")) as [Buffer];
    expect(payload.toString()).toBe("are you there");
    expect(told).toEqual([]);
    socket.send(rest);
    await wsMessage(socket);
    expect(told).toEqual([hello(TOKEN)]);
    socket.terminate();
    await expect.poll(() => ends).toEqual([1006]);
  });

  test.each<[string, number, (socket: WebSocket) => void]>([
    ["without the stand-in", 1008, (socket) => socket.send("hello")],
    ["of binary", 1003, (socket) => socket.send(Buffer.from(STAND_IN))],
    ["that is too long", 1009, (socket) => socket.send(`${STAND_IN}${"x".repeat(70_000)}`)],
  ])("a first message %s is told to nobody: the guest reads %i", async (_name, code, say) => {
    const socket = await open("/greets");
    say(socket);
    socket.send("more");
    expect((await wsClosed(socket))[0]).toBe(code);
    await expect.poll(() => ends).toEqual([1006]);
    expect(told).toEqual([]);
  });

  test("a message that is compressed all the same is told to nobody", async () => {
    const socket = await open();
    // RSV1 without an extension (RFC 7692 §6).
    const frame = clientText(Buffer.from(STAND_IN), KEY);
    frame[0] = (frame[0] as number) | 0x40;
    (socket as unknown as { _socket: Socket })._socket.write(frame);
    expect((await wsClosed(socket))[0]).toBe(1002);
    await expect.poll(() => ends).toEqual([1006]);
    expect(told).toEqual([]);
  });

  test("the account says why", async () => {
    const socket = await open("/account");
    socket.send("hello");
    await wsClosed(socket);
    await expect.poll(() => ends).toEqual([1006]);
    await expect
      .poll(async () => (await edge.audit()).find(({ path }) => path === "/account"), { timeout: 20_000 })
      .toMatchObject({ decision: "deny", denial: "lease_unusable", outcome: "denied", status: 101 });
    expect(JSON.stringify(await edge.audit())).not.toContain("first-\\");
  });
});

describe("a guest that speaks HTTP/2", () => {
  test("its first message carries the secret, the rest passes", async () => {
    const { stream, heard, close } = await openOverHttp2();
    const bytes = Buffer.concat([
      clientText(Buffer.from(hello(STAND_IN)), KEY),
      clientText(Buffer.from("and on"), KEY),
    ]);
    for (let at = 0; at < bytes.length; at += 7) stream.write(bytes.subarray(at, at + 7));
    await expect.poll(() => heard().toString()).toContain("got 2");
    expect(told).toEqual([hello(TOKEN), "and on"]);
    close();
    await expect.poll(() => ends).toEqual([1006]);
  });

  test("one without the stand-in is told to nobody: the guest reads 1008", async () => {
    const { stream, heard, close } = await openOverHttp2();
    stream.write(clientText(Buffer.from("hello"), KEY));
    await expect.poll(() => heard().length).toBeGreaterThan(0);
    expect(heard()).toEqual(serverClose(1008));
    expect(frameHeader(heard(), 0)).toMatchObject({ opcode: 8, isMasked: false });
    stream.end();
    await expect.poll(() => ends).toEqual([1006]);
    expect(told).toEqual([]);
    close();
  });
});
