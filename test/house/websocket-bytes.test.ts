import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { denialIn } from "../hostile/raw-guest.ts";
import { type House, startHouse, TOKEN, WAYS } from "./support/house.ts";
import { patternBytes, patternSha256 } from "./support/pattern.ts";
import { closed, startRawUpstream } from "./support/raw-upstream.ts";
import { valuesOf } from "./support/recording.ts";
import { openedWs, openWs, WS_WAYS, wsClosed, wsMessage, wsUpstream } from "./support/ws-guest.ts";

/** The upgrade as bytes: what passes before it, with it, after it, and after a refusal. */

let house: House;
const arrived: Socket[] = [];

beforeAll(async () => {
  const respond = (socket: Socket): void => void arrived.push(socket);
  house = await startHouse({
    webSocketsOverHttp2: true,
    others: async (ca) => ({
      "raw.test": await startRawUpstream(respond, { tls: await ca.issue(["raw.test"]) }),
      "plain-raw.test": await startRawUpstream(respond),
      "chat.test": await startRawUpstream(respond, { tls: await ca.issue(["chat.test"]) }),
    }),
    allow: { "chat.test": [{ methods: ["GET"], paths: ["/chat"] }] },
  });
});

afterAll(() => house?.stop());

beforeEach(() => house.reset());

afterEach(() => {
  for (const socket of arrived.splice(0)) socket.destroy();
});

const OFFER = [
  "Connection: keep-alive, Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13",
  'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-own; a="b"',
];
const SWITCHED =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Extensions: permessage-deflate; x=1\r\n\r\n";
/** Every byte there is; no frame of anything. */
const ALL = Buffer.from(Array.from({ length: 512 }, (_, i) => i % 256)).toString("latin1");

const received = (name: string): string => house.others[name]?.received.at(-1) ?? "";
const after = (text: string): string => text.slice(text.indexOf("\r\n\r\n") + 4);

/** Upstream's end of the handshake that is asked for, once all of its head is there. */
async function upstreamSocket(name: string): Promise<Socket> {
  await expect.poll(() => arrived.length, { timeout: 20_000, interval: 5 }).toBe(1);
  await expect.poll(() => received(name), { interval: 5 }).toContain("\r\n\r\n");
  return arrived[0] as Socket;
}

describe.each(["raw.test", "plain-raw.test"])("an upgrade at %s", (name) => {
  test("passes every byte both ways, those that come in one segment with the 101 as well", async () => {
    const guest = await house.rawTo(name);
    guest.request("GET", "/chat?x=%2f", OFFER);
    const upstream = await upstreamSocket(name);
    upstream.write(SWITCHED + ALL, "latin1");
    await guest.when(() => after(guest.text).length >= ALL.length);
    expect(after(guest.text)).toBe(ALL);
    guest.send(ALL + SWITCHED);
    await expect.poll(() => after(received(name))).toBe(ALL + SWITCHED);
    upstream.write(`HTTP/1.1 200 OK\r\n\r\n${ALL}`, "latin1");
    await guest.when(() => after(guest.text).length >= 2 * ALL.length + 19);
    expect(after(guest.text)).toBe(`${ALL}HTTP/1.1 200 OK\r\n\r\n${ALL}`);
    guest.destroy();
  });

  test("says the handshake's fields as they were said, its own hop's anew", async () => {
    const guest = await house.rawTo(name);
    guest.request("GET", "/chat", [...OFFER, "Sec-WebSocket-Protocol: b, a", "Origin: https://app.test"]);
    const upstream = await upstreamSocket(name);
    for (const line of [...OFFER.slice(2), "Sec-WebSocket-Protocol: b, a", "Origin: https://app.test"])
      expect(received(name)).toContain(`\r\n${line}\r\n`);
    expect(received(name).match(/^(?:Connection|Upgrade): .*\r$/gm)).toEqual([
      "Connection: Upgrade\r",
      "Upgrade: websocket\r",
    ]);
    upstream.write(SWITCHED);
    const lines = (await guest.until(/\r\n\r\n/)).split("\r\n").sort();
    expect(lines).toEqual(SWITCHED.split("\r\n").sort());
    guest.destroy();
  });

  test.each([
    ["", []],
    [", where the handshake says that it has no content (Java)", ["Content-Length: 0"]],
  ])("frames that the guest sends ahead wait for the 101%s", async (_name, more) => {
    const guest = await house.rawTo(name);
    guest.request("GET", "/chat", [...OFFER, ...more], ALL);
    const upstream = await upstreamSocket(name);
    expect(after(received(name))).toBe("");
    upstream.write(SWITCHED);
    await expect.poll(() => after(received(name))).toBe(ALL);
    guest.destroy();
  });

  test.each([
    ["refused by the upstream", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "403"],
    ["answered without an upgrade", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", "200"],
  ])("%s: frames are not sent there, neither earlier ones nor later", async (_name, answer, status) => {
    const guest = await house.rawTo(name);
    const before = house.others[name]?.received.length;
    guest.request("GET", "/chat", OFFER, ALL);
    const upstream = await upstreamSocket(name);
    upstream.write(answer);
    expect(await guest.until(/no/)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    guest.send(ALL);
    // What is no request ends the guest's connection.
    await guest.ended();
    expect(house.others[name]?.received.slice(before).map(after)).toEqual([""]);
    guest.destroy();
  });

  test("the guest closes its side and still hears the rest", async () => {
    const guest = await house.rawTo(name);
    guest.request("GET", "/chat", OFFER);
    const upstream = await upstreamSocket(name);
    upstream.write(SWITCHED);
    await guest.until(/\r\n\r\n/);
    const ended = once(upstream, "end");
    guest.socket.end("last words");
    await ended;
    expect(after(received(name))).toBe("last words");
    upstream.end("more\n");
    await guest.until(/more\n$/);
    await closed(upstream);
    guest.destroy();
  });
});

describe.each(["h2c-", "connect-udp", "websocket, foo", "foo, websocket", "TLS/9", "websocket/13"])(
  "Upgrade: %s",
  (protocol) => {
    test("is refused by name", async () => {
      const guest = await house.raw(WAYS[0]);
      guest.request("GET", "/ws", [`Upgrade: ${protocol}`, ...OFFER.filter((line) => !line.startsWith("Upgrade"))]);
      const text = await guest.until(/\}\n$/);
      expect(text).toMatch(/^HTTP\/1\.1 501 /);
      expect(denialIn(text)).toBe("upgrade_unsupported");
      expect(house.upstream(WAYS[0]).connections).toBe(0);
      guest.destroy();
    });
  },
);

test("the upstream closes its side and still hears the rest", async () => {
  const authority = `plain-raw.test:${house.others["plain-raw.test"]?.port}`;
  const guest = connect({ port: house.edge.proxyPort, host: "127.0.0.1", allowHalfOpen: true });
  guest.write([`GET http://${authority}/ HTTP/1.1`, `Host: ${authority}`, ...OFFER, "", ""].join("\r\n"));
  (await upstreamSocket("plain-raw.test")).end(`${SWITCHED}last words`);
  let heard = "";
  guest.on("data", (chunk: Buffer) => (heard += chunk.toString("latin1")));
  await once(guest, "end");
  expect(after(heard)).toBe("last words");
  guest.end("more\n");
  await expect.poll(() => after(received("plain-raw.test"))).toBe("more\n");
  await closed(guest);
});

describe("the policy decides on the upgrade", () => {
  test.each([
    ["GET", "/other", "path_not_allowed"],
    ["POST", "/chat", "method_not_allowed"],
    ["GET", "/chat/../other", "ambiguous_path"],
  ])("%s %s: refused, and not a byte goes on after it", async (method, path, code) => {
    const guest = await house.rawTo("chat.test");
    const before = house.others["chat.test"]?.connections;
    guest.request(method, path, OFFER, ALL);
    const answer = await guest.ended();
    expect(answer).toMatch(/^HTTP\/1\.1 40[03] /);
    expect(answer).toContain(`x-deny-reason: ${code}\r\n`);
    expect(house.others["chat.test"]?.connections).toBe(before);
    guest.destroy();
  });

  test("what is allowed goes on", async () => {
    const guest = await house.rawTo("chat.test");
    guest.request("GET", "/chat?room=1", OFFER);
    (await upstreamSocket("chat.test")).write(SWITCHED);
    expect(await guest.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 101 /);
    guest.destroy();
  });
});

describe.each(WS_WAYS)("%s", (way) => {
  test.each([1000, 1001, 1011, 3000, 4999])("the guest closes with %i, and is answered with it", async (code) => {
    const socket = await openedWs(house, way);
    socket.close(code, "so long");
    expect(await wsClosed(socket)).toEqual([code, "so long"]);
  });

  test("a ping of the upstream is answered", async () => {
    const socket = await openedWs(house, way);
    socket.send("ping me");
    expect((await wsMessage(socket)).toString()).toBe("ponged: me");
  });

  test("8 frames of a megabyte both ways at once, by hash", async () => {
    const socket = await openedWs(house, way);
    const [body, hash] = [patternBytes(0, 1 << 20), patternSha256(1 << 20)];
    const bytes_from_guest = 8 * ((1 << 20) + 14);
    const line = { kind: "upgrade", status: 101, injected: true, outcome: "completed", bytes_from_guest };
    const accounted = async (): Promise<number> =>
      (await house.edge.audit()).filter((record) => isDeepStrictEqual({ ...record, ...line }, record)).length;
    const before = await accounted();
    let same = 0;
    const all = new Promise<void>((done) => {
      socket.on("message", (data: Buffer) => {
        if (createHash("sha256").update(data).digest("hex") === hash) same++;
        if (same === 8) done();
      });
    });
    for (let i = 0; i < 8; i++) socket.send(body, { compress: false });
    await all;
    socket.terminate();
    await expect.poll(accounted).toBe(before + 1);
  });

  test("the guest's own value of the credential is dropped from the handshake", async () => {
    const socket = await openWs(house, way, "/ws", [], { headers: { Authorization: "Bearer mine", "X-Own": "1" } });
    await once(socket, "open");
    const [seen] = wsUpstream(house, way).requests;
    expect(valuesOf(seen!, "authorization")).toEqual([`Bearer ${TOKEN}`]);
    expect(valuesOf(seen!, "x-own")).toEqual(["1"]);
    socket.terminate();
  });
});
