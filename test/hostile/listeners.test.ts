import { connect, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { command, greeting, login } from "../guest/support/socks.ts";
import { V4_ADDRESSES, version2 } from "../guest/support/proxy-header.ts";
import { destinationFor, type Edge, startEdge } from "../house/support/edge.ts";
import { type ListenerSet, listenerSet } from "../house/support/listener-set.ts";
import { startUpstream, type Upstream } from "../house/support/upstream.ts";
import { denialIn, guestOn, openGuest, type RawGuest } from "./raw-guest.ts";

/**
 * What stands before a guest's requests is attacked: SOCKS5, the PROXY header, the listener's own TLS. Everything else is
 * allowed: the destination takes every method and path, the listeners are open.
 */

let set: ListenerSet;
let upstream: Upstream;
let edge: Edge;
let seen = 0;

beforeAll(async () => {
  set = await listenerSet();
  upstream = await startUpstream();
  edge = await startEdge({
    hosts: { "free.test": ["127.0.0.1"] },
    destinations: [destinationFor(upstream, "free.test")],
    listeners: set.listeners,
    config: {
      limits: { connections_per_guest: 20 },
      timeouts: { request_head_ms: 2000, tls_hello_ms: 2000, proxy_protocol_ms: 1500, guest_idle_ms: 2500 },
    },
  });
});

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
  await set?.remove();
});

beforeEach(async () => {
  upstream.reset();
  seen = (await exchanges()).length;
});

type Port = keyof ListenerSet["ports"];

async function exchanges(): Promise<Record<string, unknown>[]> {
  return (await edge.audit()).filter(({ type }) => type === "exchange");
}

/** The records since the test began, once there are `count`. */
async function recorded(count: number): Promise<Record<string, unknown>[]> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const found = (await exchanges()).slice(seen);
    if (found.length >= count || performance.now() > deadline) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function nothingWasReached(): void {
  expect(upstream.connections).toBe(0);
  expect(upstream.requests).toHaveLength(0);
}

/** Sends `parts` one by one, each in a segment of its own. */
async function send(guest: RawGuest, ...parts: (string | Buffer)[]): Promise<void> {
  for (const part of parts) {
    guest.send(part);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const bytes = (...parts: (string | Buffer)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part)));

const reply = (code: number): string => `\x05${String.fromCharCode(code)}\0\x01\0\0\0\0\0\0`;
const toFree = (): Buffer => command("free.test", upstream.port);
const getFree = (): string => {
  const authority = `free.test:${upstream.port}`;
  return `GET http://${authority}/hello HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n\r\n`;
};
const line = (source = "192.0.2.7"): string => `PROXY TCP4 ${source} 198.51.100.1 1000 443\r\n`;

describe("SOCKS5", () => {
  const cases: readonly (readonly [string, () => Buffer, string, string])[] = [
    ["SOCKS4", () => bytes("\x04\x01\x00\x50\x7f\x00\x00\x01\x00"), "", "request_malformed"],
    [
      "SOCKS4a with the name that is allowed",
      () => bytes("\x04\x01\x00\x50\0\0\0\x01\0free.test\0"),
      "",
      "request_malformed",
    ],
    ["an HTTP request", () => bytes(getFree()), "", "request_malformed"],
    ["no method at all", () => bytes(greeting(), toFree()), "\x05\xff", "tunnel_unsupported"],
    ["GSSAPI alone", () => bytes(greeting(1), toFree()), "\x05\xff", "tunnel_unsupported"],
    ["a method of nobody alone", () => bytes(greeting(0x80), toFree()), "\x05\xff", "tunnel_unsupported"],
    [
      "a login nobody asked for",
      () => bytes(greeting(0), login("u", "p"), toFree()),
      "\x05\0" + reply(1),
      "request_malformed",
    ],
    [
      "a request where the login should be",
      () => bytes(greeting(2), toFree()),
      "\x05\x02\x01\x01",
      "request_malformed",
    ],
    [
      "a colon in the user",
      () => bytes(greeting(2), login("a:b", "c"), toFree()),
      "\x05\x02\x01\x01",
      "request_malformed",
    ],
    ["BIND", () => bytes(greeting(0), "\x05\x02", toFree().subarray(2)), "\x05\0" + reply(7), "tunnel_unsupported"],
    [
      "UDP ASSOCIATE",
      () => bytes(greeting(0), "\x05\x03", toFree().subarray(2)),
      "\x05\0" + reply(7),
      "tunnel_unsupported",
    ],
    [
      "a reserved byte",
      () => bytes(greeting(0), "\x05\x01\x01", toFree().subarray(3)),
      "\x05\0" + reply(1),
      "request_malformed",
    ],
    ["an address type of nobody", () => bytes(greeting(0), "\x05\x01\0\x05"), "\x05\0" + reply(8), "request_malformed"],
    [
      "NUL behind the name",
      () => bytes(greeting(0), command("free.test\0", upstream.port)),
      "\x05\0" + reply(1),
      "request_malformed",
    ],
    [
      "NUL and another name",
      () => bytes(greeting(0), command("free.test\0.evil.test", upstream.port)),
      "\x05\0" + reply(1),
      "request_malformed",
    ],
    [
      "a trailing dot",
      () => bytes(greeting(0), command("free.test.", upstream.port)),
      "\x05\0" + reply(1),
      "request_malformed",
    ],
    [
      "the port in the name",
      () => bytes(greeting(0), command(`free.test:${upstream.port}`, 80)),
      "\x05\0" + reply(1),
      "request_malformed",
    ],
    [
      "a loopback address as a name",
      () => bytes(greeting(0), command("127.0.0.1", upstream.port)),
      "\x05\0" + reply(1),
      "request_malformed",
    ],
    [
      "one in decimal",
      () => bytes(greeting(0), command("2130706433", upstream.port)),
      "\x05\0" + reply(1),
      "request_malformed",
    ],
    [
      "one in brackets",
      () => bytes(greeting(0), command("[::1]", upstream.port)),
      "\x05\0" + reply(1),
      "request_malformed",
    ],
    [
      "one in IPv6",
      () => bytes(greeting(0), command(Buffer.from("00000000000000000000ffff7f000001", "hex"), upstream.port)),
      "\x05\0" + reply(1),
      "request_malformed",
    ],
    [
      "the address behind the name",
      () => bytes(greeting(0), command([127, 0, 0, 1], upstream.port)),
      "\x05\0" + reply(2),
      "destination_not_allowed",
    ],
    ["another port", () => bytes(greeting(0), command("free.test", 1)), "\x05\0" + reply(2), "destination_not_allowed"],
    [
      "another name",
      () => bytes(greeting(0), command("evil.test", upstream.port)),
      "\x05\0" + reply(2),
      "destination_not_allowed",
    ],
    [
      "another name, the request for the right one behind it",
      () => bytes(greeting(0), command("evil.test", upstream.port), toFree(), getFree()),
      "\x05\0" + reply(2),
      "destination_not_allowed",
    ],
  ];

  test.each(cases)("%s", async (_name, message, answer, denial) => {
    const guest = await openGuest(set.ports.socks);
    guest.send(message());
    expect(await guest.ended()).toBe(answer);
    nothingWasReached();
    expect(await recorded(1)).toMatchObject([{ kind: "connect", listener: "socks", denial, outcome: "denied" }]);
  });

  test("the same byte by byte", async () => {
    const guest = await openGuest(set.ports.socks);
    for (const byte of bytes(greeting(0), command("free.test.", 80))) await send(guest, Buffer.from([byte]));
    expect(await guest.ended()).toBe(`\x05\0${reply(1)}`);
    nothingWasReached();
    expect(await recorded(1)).toMatchObject([{ listener: "socks", denial: "request_malformed" }]);
  });

  test.each([
    ["a greeting that drips in", () => [greeting(...Array.from({ length: 200 }, () => 9))]],
    ["a login that drips in", () => [greeting(2), login("u".repeat(200), "p")]],
    ["a name that drips in", () => [greeting(0), command("a".repeat(200), 80)]],
  ])("%s has the time of a head, in all", async (_name, messages) => {
    const guest = await openGuest(set.ports.socks);
    const all = bytes(...messages());
    let at = 0;
    const drip = setInterval(() => guest.send(all.subarray(at, ++at)), 40);
    await guest.ended();
    clearInterval(drip);
    expect(at).toBeLessThan(all.length);
    nothingWasReached();
    expect(await recorded(1)).toMatchObject([{ listener: "socks", denial: "request_timeout" }]);
  });

  test("one that says nothing is closed", async () => {
    const guest = await openGuest(set.ports.socks);
    expect(await guest.ended()).toBe("");
    expect(await recorded(0)).toEqual([]);
  });

  test("one that leaves in the middle is written down", async () => {
    const guest = await openGuest(set.ports.socks);
    await send(guest, greeting(0), "\x05\x01");
    guest.socket.end();
    await guest.ended();
    nothingWasReached();
    expect(await recorded(1)).toMatchObject([{ listener: "socks", denial: "request_malformed" }]);
  });

  test.each([
    ["HTTP/2 with prior knowledge", () => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""],
    ["neither TLS nor HTTP", () => "\0\0\0\0", ""],
    ["a second SOCKS handshake", () => greeting(0), ""],
    ["CONNECT", () => `CONNECT free.test:${upstream.port} HTTP/1.1\r\n\r\n`, "tunnel_unsupported"],
    ["a request to another host", () => "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", "authority_mismatch"],
    [
      "absolute-form to another host",
      () => "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
      "authority_mismatch",
    ],
    ["TRACE", () => `TRACE / HTTP/1.1\r\nHost: free.test:${upstream.port}\r\n\r\n`, "method_not_allowed"],
  ])("in the tunnel: %s", async (_name, message, denial) => {
    const guest = await openGuest(set.ports.socks);
    guest.send(bytes(greeting(0), toFree(), message()));
    // Between two requests the guest may stay: closing is its own affair.
    const text = denial === "" ? await guest.ended() : await guest.until(/\}\n$/);
    expect(text.slice(0, 12)).toBe(`\x05\0${reply(0)}`);
    expect(denialIn(text)).toBe(denial === "" ? null : denial);
    nothingWasReached();
    guest.destroy();
    // What cannot be answered inside is told of the tunnel itself.
    const codes = (await recorded(denial === "" ? 1 : 2)).map((record) => record["denial"]);
    expect(codes).toEqual(denial === "" ? ["tunnel_unsupported"] : [undefined, denial]);
  });

  test("all the while others are served", async () => {
    const guest = await openGuest(set.ports.socks);
    guest.send(
      bytes(
        greeting(0),
        toFree(),
        `GET /hello HTTP/1.1\r\nHost: free.test:${upstream.port}\r\nConnection: close\r\n\r\n`,
      ),
    );
    expect((await guest.ended()).startsWith(`\x05\0${reply(0)}HTTP/1.1 200 `)).toBe(true);
    expect(await recorded(2)).toMatchObject([{ kind: "connect" }, { kind: "http", status: 200 }]);
  });
});

/** A guest that comes from another address of the loopback. */
function openFrom(port: number, localAddress: string): Promise<RawGuest> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", localAddress }, () => resolve(guestOn(socket)));
    socket.once("error", reject);
  });
}

describe("the PROXY protocol", () => {
  const cases: readonly (readonly [string, () => readonly (string | Buffer)[]])[] = [
    ["no header", () => [getFree()]],
    ["no header but SOCKS", () => [greeting(0)]],
    ["UNKNOWN", () => [`PROXY UNKNOWN\r\n${getFree()}`]],
    ["lower case", () => [line().toLowerCase() + getFree()]],
    ["a line feed alone", () => [line().replace("\r", "") + getFree()]],
    ["a carriage return alone", () => [line().replace("\n", "") + getFree()]],
    ["two blanks", () => [line().replace(" 192", "  192") + getFree()]],
    ["a port with a leading zero", () => [line().replace("1000", "01000") + getFree()]],
    ["a name for an address", () => [line("free.test") + getFree()]],
    ["a line without an end", () => [`PROXY TCP4 ${"1".repeat(200)}`]],
    ["a header within a header", () => [line() + line("203.0.113.9") + getFree()]],
    ["version 2 within version 1", () => [bytes(line(), version2(), getFree())]],
    ["version 1 within version 2", () => [bytes(version2(), line(), getFree())]],
    ["another version", () => [bytes(version2({ command: 0x31 }), getFree())]],
    ["datagrams", () => [bytes(version2({ family: 0x12 }), getFree())]],
    ["too short for its addresses", () => [bytes(version2({ addresses: V4_ADDRESSES.subarray(4) }), getFree())]],
    ["64 KiB", () => [bytes(version2({ length: 65_535 }), Buffer.alloc(65_535))]],
    ["a wrong checksum", () => [bytes(version2({ tlvs: [[3, Buffer.alloc(4)]] }), getFree())]],
    [
      "TLVs that do not add up",
      () => [bytes(version2({ addresses: bytes(V4_ADDRESSES, "\x04\x00\x09x") }), getFree())],
    ],
    ["a header in pieces, spoilt by the last one", () => ["PRO", "XY TCP4 192.0.2.7 198.51", ".100.1 1 2 3\r\n"]],
  ];

  describe.each(["announced", "announcedTls", "announcedSocks"] as const)("%s", (port: Port) => {
    test.each(cases)("%s", async (_name, parts) => {
      const guest = await openGuest(set.ports[port]);
      await send(guest, ...parts());
      expect(await guest.ended()).toBe("");
      nothingWasReached();
      expect(await recorded(1)).toMatchObject([
        { kind: "connection", listener: port, guest: "127.0.0.1", denial: "proxy_protocol_invalid" },
      ]);
    });
  });

  test("a header within a header, later, is no request either", async () => {
    const guest = await openGuest(set.ports.announced);
    await send(guest, line(), line("203.0.113.9"), getFree());
    expect(denialIn(await guest.ended())).toBe("request_malformed");
    nothingWasReached();
    expect(await recorded(1)).toMatchObject([{ guest: "192.0.2.7", denial: "request_malformed" }]);
  });

  test("one from elsewhere is refused before a byte of it is read", async () => {
    const guest = await openFrom(set.ports.announced, "127.0.0.9");
    guest.send(line() + getFree());
    expect(await guest.ended()).toBe("");
    nothingWasReached();
    expect(await recorded(1)).toMatchObject([{ guest: "127.0.0.9", denial: "proxy_protocol_invalid" }]);
  });

  test("to a listener that expects none it is no request", async () => {
    const guest = await openGuest(edge.proxyPort);
    guest.send(line() + getFree());
    expect(denialIn(await guest.ended())).toBe("request_malformed");
    nothingWasReached();
    expect(await recorded(1)).toMatchObject([{ guest: "127.0.0.1", denial: "request_malformed" }]);
  });

  test.each([
    ["version 1", () => bytes(line())],
    ["version 2", () => version2({ tlvs: [[4, Buffer.alloc(300)]] })],
  ])("%s that drips in has its time, in all", async (_name, header) => {
    const guest = await openGuest(set.ports.announced);
    const all = header();
    let at = 0;
    const drip = setInterval(() => guest.send(all.subarray(at, ++at)), 200);
    expect(await guest.ended()).toBe("");
    clearInterval(drip);
    expect(at).toBeLessThan(all.length);
    nothingWasReached();
    expect(await recorded(1)).toMatchObject([{ denial: "proxy_protocol_invalid" }]);
  });

  test("one that ends in the middle is written down, one that says nothing is not", async () => {
    const silent = await openGuest(set.ports.announced);
    silent.socket.end();
    await silent.ended();
    const half = await openGuest(set.ports.announced);
    half.send("PROXY TCP4 192.0.2.7");
    half.socket.end();
    await half.ended();
    nothingWasReached();
    expect(await recorded(1)).toMatchObject([{ denial: "proxy_protocol_invalid" }]);
  });

  const addressIn = (header: string): string | undefined => header.split(" ")[2];
  const line6 = (source: string): string => `PROXY TCP6 ${source} 2001:db8:ffff::1 1000 443\r\n`;
  test.each<[string, (i: number) => string, string]>([
    ["", () => line("192.0.2.66"), line("192.0.2.67")],
    [", of IPv6 by its /64", (i) => line6(`2001:db8:1:2::${i.toString(16)}`), line6("2001:db8:1:3::1")],
  ])("connections are counted by the guest that is announced, whoever announces it%s", async (_name, same, another) => {
    const held = await Promise.all(Array.from({ length: 20 }, () => openGuest(set.ports.announced)));
    held.forEach((guest, i) => guest.send(same(i)));
    let more = 0;
    const oneMore = async (): Promise<string> => {
      const guest = await openGuest(set.ports.announced);
      guest.send(same(100 + more) + getFree());
      return guest.ended();
    };
    // Served as long as the headers of some are still on their way.
    do more++;
    while (denialIn(await oneMore()) !== "connection_limit" && more < 200);
    const other = await openGuest(set.ports.announced);
    other.send(another + getFree());
    expect(await other.ended()).toMatch(/^HTTP\/1\.1 200 /);
    for (const guest of held) guest.destroy();
    // Those held have said nothing yet.
    expect((await recorded(more + 1)).slice(more - 1)).toMatchObject([
      { guest: addressIn(same(100 + more)), denial: "connection_limit" },
      { guest: addressIn(another), status: 200 },
    ]);
  });

  test("the balancer itself (LOCAL) is its own guest", async () => {
    const guest = await openGuest(set.ports.announced);
    guest.send(bytes(version2({ command: 0x20, family: 0, addresses: Buffer.alloc(0) }), getFree()));
    expect(await guest.ended()).toMatch(/^HTTP\/1\.1 200 /);
    expect(await recorded(1)).toMatchObject([{ guest: "127.0.0.1", status: 200 }]);
  });

  test("a hello that comes with the header is kept", async () => {
    const options = { ca: set.ca.certificate, servername: "localhost" };
    const guest = await secured(set.ports.announcedTls, options, version2());
    guest.send(getFree());
    expect(await guest.ended()).toMatch(/^HTTP\/1\.1 200 /);
    expect(await recorded(1)).toMatchObject([{ guest: "192.0.2.7", listener: "announcedTls", status: 200 }]);
  });
});

/** TLS to a listener. @param first sent ahead of the hello */
function secured(port: number, options: ConnectionOptions, first: Buffer | null = null): Promise<RawGuest> {
  return new Promise((resolve, reject) => {
    const transport: Socket = connect(port, "127.0.0.1", () => {
      if (first !== null) transport.write(first);
      const socket = connectTls({ ...options, socket: transport }, () => resolve(guestOn(socket)));
      socket.once("error", reject);
    });
    transport.once("error", reject);
  });
}

describe("the TLS of a listener", () => {
  test.each([
    ["an HTTP request", () => getFree()],
    ["CONNECT", () => `CONNECT free.test:${upstream.port} HTTP/1.1\r\n\r\n`],
    ["SOCKS5", () => bytes(greeting(0), toFree())],
    ["a PROXY header", () => line()],
    ["a record of another type", () => "\x17\x03\x03\x00\x05hello"],
    ["a hello of zeros", () => bytes("\x16\x03\x01\x00\x40", Buffer.alloc(64))],
    ["an alert", () => "\x15\x03\x03\x00\x02\x02\x28"],
  ])("%s is no handshake", async (_name, message) => {
    const guest = await openGuest(set.ports.tls);
    guest.send(message());
    // At most an alert.
    const told = await guest.ended();
    expect(["", "\x15"]).toContain(told.slice(0, 1));
    expect([0, 7]).toContain(told.length);
    nothingWasReached();
    expect(await recorded(1)).toMatchObject([
      { kind: "connection", listener: "tls", denial: "tls_handshake_failed", outcome: "denied" },
    ]);
  });

  test.each([
    ["half a hello that then stops", () => "\x16\x03\x01\x02\x00\x01\x00", 1],
    ["nothing", () => "", 0],
  ])("%s has its time", async (_name, message, count) => {
    const guest = await openGuest(set.ports.tls);
    guest.send(message());
    expect(await guest.ended()).toBe("");
    nothingWasReached();
    expect((await recorded(count)).map(({ denial }) => denial)).toEqual(count === 1 ? ["request_timeout"] : []);
  });

  test("a hello that drips in has its time, in all", async () => {
    const guest = await openGuest(set.ports.tls);
    guest.send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    const drip = setInterval(() => guest.send("x"), 40);
    await guest.ended();
    clearInterval(drip);
    nothingWasReached();
    expect(await recorded(1)).toMatchObject([{ denial: "request_timeout" }]);
  });

  test.each([
    ["h2 alone", "tls", () => ({ ALPNProtocols: ["h2"] })],
    ["TLS 1.1 at most", "tls", () => ({ maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "ALL:@SECLEVEL=0" })],
    ["no client certificate", "mutual", () => ({})],
    ["no client certificate, TLS 1.2", "mutual", () => ({ maxVersion: "TLSv1.2" })],
    ["one of another CA", "mutual", () => ({ cert: set.stranger.certificate, key: set.stranger.key })],
    [
      "the listener's own, trusted for nothing else",
      "mutual",
      () => ({ cert: set.serverOnly.certificate, key: set.serverOnly.key }),
    ],
  ] as const)("%s is refused", async (_name, port, more) => {
    const options: ConnectionOptions = { ca: set.ca.certificate, servername: "localhost", ...more() };
    // TLS 1.3 has the client done before its certificate was looked at.
    const told = await secured(set.ports[port], options).then(
      async (guest) => {
        guest.send(getFree());
        return guest.ended();
      },
      () => "",
    );
    expect(told).toBe("");
    nothingWasReached();
    expect(await recorded(1)).toMatchObject([
      { kind: "connection", listener: port, denial: "tls_handshake_failed", outcome: "denied" },
    ]);
  });

  test("many handshakes that fail cost one short record each, and others are served", async () => {
    const failing = Array.from({ length: 15 }, async () => {
      const guest = await openGuest(set.ports.tls);
      guest.send("\x16\x03\x01\x00\x05aaaaa");
      await guest.ended();
    });
    const guest = await secured(set.ports.tls, { ca: set.ca.certificate, servername: "localhost" });
    guest.send(getFree());
    expect(await guest.ended()).toMatch(/^HTTP\/1\.1 200 /);
    await Promise.all(failing);
    const records = await recorded(16);
    expect(records.filter(({ denial }) => denial === "tls_handshake_failed")).toHaveLength(15);
    for (const record of records) expect(JSON.stringify(record).length).toBeLessThan(1200);
  });
});
