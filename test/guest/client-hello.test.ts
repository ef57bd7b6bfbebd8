import { spawn, spawnSync } from "node:child_process";
import net, { type AddressInfo } from "node:net";
import tls from "node:tls";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CLIENT_HELLO_LIMIT_BYTES, type ClientHelloResult, parseClientHello } from "../../src/guest/client-hello.ts";

const REFUSED = "not a client hello";
const empty = Buffer.alloc(0);
/** A hello without anything that is refused for what it is. */
const PLAIN = { hasEch: false, hasEarlyData: false, mayBeRetried: false } as const;

describe("a hello", () => {
  test("with name and protocols", () => {
    const bytes = hello({ extensions: [sni("API.example.test"), alpn("h2", "http/1.1")] });
    expect(parseClientHello(bytes)).toEqual({
      done: true,
      serverName: "api.example.test",
      alpn: ["h2", "http/1.1"],
      hasEch: false,
      hasEarlyData: false,
      mayBeRetried: false,
      bytes: bytes.length,
    });
  });

  test.each<[string, Hello]>([
    ["without extensions of interest", { extensions: [extension(0xff01, Buffer.of(0))] }],
    ["with an empty extension block", { extensions: [] }],
    ["without an extension block (TLS 1.2 clients may)", { extensions: null }],
    ["of TLS 1.0", { version: 0x0301, extensions: [] }],
    ["with a session id", { sessionId: Buffer.alloc(32, 7), extensions: [] }],
  ])("%s names nobody", (_, parts) => {
    const bytes = hello(parts);
    const expected = { done: true, serverName: null, alpn: [], ...PLAIN, bytes: bytes.length };
    expect(parseClientHello(bytes)).toEqual(expected);
  });

  test.each([0xfe0d, 0xffce])("with an encrypted one inside (extension %i) says so", (type) => {
    const found = parseClientHello(hello({ extensions: [sni("public.test"), extension(type, Buffer.alloc(40))] }));
    expect(found).toMatchObject({ serverName: "public.test", hasEch: true });
  });

  test("that announces early data says so, wherever the extension stands", () => {
    const [early, name] = [extension(42, empty), sni("a.test")];
    const psk = extension(41, Buffer.alloc(40));
    expect(parseClientHello(hello({ extensions: [name, early, psk] }))).toMatchObject({ hasEarlyData: true });
    expect(parseClientHello(hello({ extensions: [early, name] }))).toMatchObject({ hasEarlyData: true });
    // A resumed session alone announces none.
    expect(parseClientHello(hello({ extensions: [name, psk] }))).toMatchObject({ hasEarlyData: false });
  });

  test("is not looked beyond: what follows in records of its own does not matter", () => {
    const bytes = hello({ extensions: [sni("a.test")] });
    expect(parseClientHello(Buffer.concat([bytes, Buffer.from("any early data")]))).toMatchObject({
      serverName: "a.test",
      bytes: bytes.length,
    });
  });

  test.each([
    ["0304", true],
    ["fafa03040303", true],
    ["030303020304", true],
    ["7f1c0303", true],
    ["0303", false],
    ["0303030203010300", false],
  ])("of versions %s may be retried: %s", (versions, mayBeRetried) => {
    const offer = extension(43, vector(1, Buffer.from(versions, "hex")));
    expect(parseClientHello(hello({ extensions: [sni("a.test"), offer] }))).toMatchObject({ mayBeRetried });
  });

  test("of 16 KiB less a byte is read, a larger one is not", () => {
    const padding = (size: number): Buffer => hello({ extensions: [sni("a.test"), extension(21, Buffer.alloc(size))] });
    const free = CLIENT_HELLO_LIMIT_BYTES - padding(0).length;
    expect(parseClientHello(padding(free))).toMatchObject({ serverName: "a.test" });
    expect(parseClientHello(padding(free + 1))).toBe(REFUSED);
  });
});

describe("refused, since two readers could see two names", () => {
  const name = (bytes: string | Buffer): Buffer => extension(0, vector(2, entry(0, bytes)));
  test.each<[string, Buffer]>([
    ["two server_name extensions", hello({ extensions: [sni("a.test"), sni("b.test")] })],
    ["the same server_name extension twice", hello({ extensions: [sni("a.test"), sni("a.test")] })],
    ["any extension twice", hello({ extensions: [sni("a.test"), extension(5, empty), extension(5, empty)] })],
    ["two names in the list", hello({ extensions: [extension(0, vector(2, entry(0, "a.test"), entry(0, "b.test")))] })],
    ["a name of another type", hello({ extensions: [extension(0, vector(2, entry(1, "a.test")))] })],
    [
      "a name of another type first",
      hello({ extensions: [extension(0, vector(2, entry(1, "x"), entry(0, "a.test")))] }),
    ],
    ["an empty list", hello({ extensions: [extension(0, vector(2))] })],
    ["an empty server_name extension", hello({ extensions: [extension(0, empty)] })],
    ["an empty name", hello({ extensions: [name("")] })],
    ["a trailing NUL", hello({ extensions: [name("a.test\0")] })],
    ["a NUL in the middle", hello({ extensions: [name("a.test\0.b.test")] })],
    ["a trailing dot", hello({ extensions: [name("a.test.")] })],
    ["a leading dot", hello({ extensions: [name(".a.test")] })],
    ["a blank", hello({ extensions: [name("a.test ")] })],
    ["a wildcard", hello({ extensions: [name("*.test")] })],
    ["UTF-8", hello({ extensions: [name(Buffer.from("bücher.test", "utf8"))] })],
    ["an IPv4 address", hello({ extensions: [name("192.0.2.7")] })],
    ["an IPv6 address", hello({ extensions: [name("2001:db8::7")] })],
    ["a name that reads as an address", hello({ extensions: [name("0x7f.1")] })],
    ["a name of 254 characters", hello({ extensions: [name(`${"a.".repeat(126)}bc`)] })],
    [
      "bytes after the list",
      hello({ extensions: [extension(0, Buffer.concat([vector(2, entry(0, "a.test")), Buffer.of(0)]))] }),
    ],
    ["a list length one short", hello({ extensions: [extension(0, lying(vector(2, entry(0, "a.test")), 1, -1))] })],
    ["a list length one long", hello({ extensions: [extension(0, lying(vector(2, entry(0, "a.test")), 1, 1))] })],
    ["a name length one long", hello({ extensions: [extension(0, lying(vector(2, entry(0, "a.test")), 4, 1))] })],
  ])("%s", (_, bytes) => {
    expect(parseClientHello(bytes)).toBe(REFUSED);
  });
});

describe("refused by the grammar", () => {
  const good = hello({ extensions: [sni("a.test"), alpn("h2")] });
  test.each<[string, Uint8Array]>([
    ["cleartext HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["HTTP/2 with prior knowledge", Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")],
    ["SSH", Buffer.from("SSH-2.0-OpenSSH_9\r\n")],
    ["an SSLv2 hello", Buffer.from("802e0100020015000000100100800200800300800400800500800600400700c0", "hex")],
    ["an alert", Buffer.from("15030100020228", "hex")],
    ["a record of another major version", lying(good, 1, 1)],
    ["a ServerHello", lying(good, 5, 1)],
    ["an empty record", Buffer.from("1603010000", "hex")],
    ["a record above 2^14", Buffer.from("1603014001", "hex")],
    ["a message above the limit", Buffer.from("16030100040100ffff", "hex")],
    ["a message above 2^16", Buffer.from("1603010004010100ff", "hex")],
    ["SSL 3.0 as legacy_version", hello({ version: 0x0300, extensions: [] })],
    ["TLS 1.3 as legacy_version", hello({ version: 0x0304, extensions: [] })],
    ["a session id of 33 bytes", hello({ sessionId: Buffer.alloc(33), extensions: [] })],
    ["no cipher suites", hello({ suites: empty, extensions: [] })],
    ["half a cipher suite", hello({ suites: Buffer.alloc(3), extensions: [] })],
    ["no compression methods", hello({ compression: empty, extensions: [] })],
    ["bytes after the extensions", hello({ extensions: [], rest: Buffer.of(0) })],
    ["half an extension header", hello({ extensions: [Buffer.of(0, 5, 0)] })],
    ["an extension that is longer than the block", hello({ extensions: [lying(extension(5, empty), 3, 1)] })],
    ["an empty list of versions", hello({ extensions: [extension(43, vector(1))] })],
    ["half a version", hello({ extensions: [extension(43, vector(1, Buffer.of(3, 4, 3)))] })],
    ["bytes after the versions", hello({ extensions: [extension(43, Buffer.of(2, 3, 4, 0))] })],
    ["an empty protocol list", hello({ extensions: [alpn()] })],
    ["an empty protocol name", hello({ extensions: [alpn("h2", "")] })],
    ["a second message in the record", record(Buffer.concat([good.subarray(5), Buffer.from("0b000000", "hex")]))],
    ["a second message in the last of two records", rerecord(Buffer.concat([good.subarray(5), Buffer.of(11)]), [7])],
  ])("%s", (_, bytes) => {
    expect(parseClientHello(bytes)).toBe(REFUSED);
  });

  test("another record type between the fragments", () => {
    const [first, second] = [good.subarray(5, 20), good.subarray(20)];
    const alert = Buffer.from("15030100020100", "hex");
    expect(parseClientHello(Buffer.concat([record(first), record(second)]))).toMatchObject({ serverName: "a.test" });
    expect(parseClientHello(Buffer.concat([record(first), alert, record(second)]))).toBe(REFUSED);
  });

  test("a foreign protocol is told by its first byte, TLS is waited for", () => {
    expect(parseClientHello(Buffer.from("G"))).toBe(REFUSED);
    expect(parseClientHello(empty)).toBe("need more");
    expect(parseClientHello(Buffer.of(0x16))).toBe("need more");
  });

  test("a hello that never ends is given up at 16 KiB", () => {
    const endless = Buffer.concat(
      Array.from({ length: 4000 }, (_, i) => record(i === 0 ? Buffer.from("010030000303", "hex") : Buffer.alloc(1))),
    );
    expect(parseClientHello(endless.subarray(0, CLIENT_HELLO_LIMIT_BYTES - 1))).toBe("need more");
    expect(parseClientHello(endless)).toBe(REFUSED);
  });
});

describe("properties", () => {
  const names = fc
    .array(fc.stringMatching(/^[a-z][a-z0-9_-]{0,20}$/), { minLength: 1, maxLength: 5 })
    .map((some) => some.join("."));
  /** Types of extensions whose data is not looked at. */
  const unread = fc.integer({ min: 40, max: 60_000 }).filter((type) => type !== 43);
  const hellos = fc
    .record({
      name: fc.option(names),
      protocols: fc.array(fc.stringMatching(/^[a-z0-9/.]{1,12}$/), { maxLength: 4 }),
      others: fc.uniqueArray(fc.tuple(unread, fc.uint8Array({ maxLength: 400 })), {
        selector: ([type]) => type,
        maxLength: 5,
      }),
      sessionId: fc.uint8Array({ maxLength: 32 }),
    })
    .map(({ name, protocols, others, sessionId }) => ({
      expected: {
        done: true,
        serverName: name,
        alpn: protocols,
        hasEch: false,
        hasEarlyData: others.some(([type]) => type === 42),
        mayBeRetried: false,
      },
      message: hello({
        sessionId: Buffer.from(sessionId),
        extensions: [
          ...others.map(([type, data]) => extension(type, Buffer.from(data))),
          ...(name === null ? [] : [sni(name)]),
          ...(protocols.length === 0 ? [] : [alpn(...protocols)]),
        ],
      }).subarray(5),
    }));
  const cuts = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 40 });

  test("however it is cut into records and segments, the answer is the same and comes with the last byte", () => {
    fc.assert(
      fc.property(hellos, cuts, cuts, ({ expected, message }, records, segments) => {
        const bytes = rerecord(message, records);
        if (bytes.length > CLIENT_HELLO_LIMIT_BYTES) return;
        let at = 0;
        for (const size of segments) {
          at = Math.min(at + size, bytes.length - 1);
          expect(parseClientHello(bytes.subarray(0, at))).toBe("need more");
        }
        const whole = { ...expected, bytes: bytes.length };
        expect(parseClientHello(bytes)).toEqual(whole);
        expect(parseClientHello(Buffer.concat([bytes, Buffer.of(20, 3, 3)]))).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });

  test("every prefix of a hello needs more", () => {
    const bytes = rerecord(hello({ extensions: [sni("a.example.test"), alpn("h2")] }).subarray(5), [1, 2, 30]);
    for (let at = 0; at < bytes.length; at++) expect(parseClientHello(bytes.subarray(0, at))).toBe("need more");
  });

  test("random bytes never throw, and what is refused stays refused", () => {
    const starts = fc.constantFrom("", "16", "160301", "16030100", "1603010100010000fc0303");
    fc.assert(
      fc.property(starts, fc.uint8Array({ maxLength: 600 }), fc.nat(600), (start, random, cut) => {
        const bytes = Buffer.concat([Buffer.from(start, "hex"), random]);
        const before = parseClientHello(bytes.subarray(0, cut));
        const after = parseClientHello(bytes);
        if (before !== "need more") expect(after).toEqual(before);
      }),
      { numRuns: 2000 },
    );
  });

  test("one flipped byte never yields another name without being one that was sent", () => {
    fc.assert(
      fc.property(hellos, fc.nat(), fc.integer({ min: 1, max: 255 }), ({ message }, place, mask) => {
        const bytes = record(Buffer.from(message));
        const at = place % bytes.length;
        bytes[at] = (bytes[at] as number) ^ mask;
        const result: ClientHelloResult = parseClientHello(bytes);
        if (typeof result === "string" || result.serverName === null) return;
        expect(bytes.toString("latin1").toLowerCase()).toContain(result.serverName);
        expect(result.serverName).toMatch(/^[a-z0-9_.-]+$/);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("hellos of real clients", () => {
  const present = (command: string): boolean => spawnSync(command, ["--help"], { stdio: "ignore" }).error === undefined;
  const open =
    (command: string, args: readonly string[]) =>
    (port: number): (() => void) => {
      const child = spawn(
        command,
        args.map((arg) => arg.replace("PORT", String(port))),
        { stdio: "ignore" },
      );
      return () => void child.kill();
    };
  const node =
    (options: tls.ConnectionOptions) =>
    (port: number): (() => void) => {
      const socket = tls.connect({ port, host: "127.0.0.1", ...options });
      socket.on("error", () => socket.destroy());
      return () => void socket.destroy();
    };
  const many = Array.from({ length: 60 }, (_, i) => `protocol-${i}`);
  const python =
    "import socket,ssl; c=ssl.create_default_context(); c.set_alpn_protocols(['h2','http/1.1']); " +
    "c.wrap_socket(socket.create_connection(('127.0.0.1',PORT)),server_hostname='python.example.test')";
  const s_client = ["s_client", "-connect", "127.0.0.1:PORT"];
  const curl = ["-q", "-s", "--noproxy", "*", "-m", "20", "--resolve", "curl.example.test:PORT:127.0.0.1"];

  const clients: [string, string | null, (port: number) => () => void, string | null, string[]][] = [
    [
      "node:tls",
      null,
      node({ servername: "node.example.test", ALPNProtocols: ["h2", "http/1.1"] }),
      "node.example.test",
      ["h2", "http/1.1"],
    ],
    [
      "node:tls, TLS 1.2",
      null,
      node({ servername: "node.example.test", maxVersion: "TLSv1.2" }),
      "node.example.test",
      [],
    ],
    ["node:tls without a name", null, node({}), null, []],
    [
      "openssl s_client",
      "openssl",
      open("openssl", [...s_client, "-servername", "OpenSSL.example.test", "-alpn", "h2"]),
      "openssl.example.test",
      ["h2"],
    ],
    [
      "openssl s_client, TLS 1.2",
      "openssl",
      open("openssl", [...s_client, "-servername", "a.test", "-tls1_2"]),
      "a.test",
      [],
    ],
    ["openssl s_client -noservername", "openssl", open("openssl", [...s_client, "-noservername"]), null, []],
    [
      "openssl s_client, records of 512 bytes",
      "openssl",
      open("openssl", [...s_client, "-servername", "a.test", "-max_send_frag", "512", "-alpn", many.join()]),
      "a.test",
      many,
    ],
    [
      "curl",
      "curl",
      open("curl", [...curl, "https://curl.example.test:PORT/"]),
      "curl.example.test",
      ["h2", "http/1.1"],
    ],
    ["Python", "python3", open("python3", ["-c", python]), "python.example.test", ["h2", "http/1.1"]],
  ];

  for (const [name, command, start, serverName, alpn] of clients) {
    const absent = command !== null && !present(command);
    test.skipIf(absent)(absent ? `${name} (SKIPPED: not on this machine)` : name, async () => {
      const bytes = await capture(start);
      const mayBeRetried = !name.includes("TLS 1.2");
      const expected = { done: true, serverName, alpn, ...PLAIN, mayBeRetried, bytes: bytes.length };
      expect(parseClientHello(bytes)).toEqual(expected);
      // The same hello, dripping in byte by byte.
      for (let at = 0; at < bytes.length; at++) expect(parseClientHello(bytes.subarray(0, at))).toBe("need more");
    });
  }
});

/** The first flight of a client, until the parser is content or refuses. */
async function capture(start: (port: number) => () => void): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const server = net.createServer((socket) => {
    let bytes: Buffer = Buffer.alloc(0);
    socket.on("error", () => socket.destroy());
    socket.on("data", (data: Buffer) => {
      bytes = Buffer.concat([bytes, data]);
      if (parseClientHello(bytes) !== "need more") resolve(bytes);
    });
    socket.on("close", () => resolve(bytes));
    void promise.then(() => socket.destroy());
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const stop = start((server.address() as AddressInfo).port);
  try {
    return await promise;
  } finally {
    stop();
    server.close();
  }
}

interface Hello {
  readonly version?: number;
  readonly sessionId?: Buffer;
  readonly suites?: Buffer;
  readonly compression?: Buffer;
  /** `null`: without the block. */
  readonly extensions: readonly Buffer[] | null;
  /** After the extensions. */
  readonly rest?: Buffer;
}

/** One record with a ClientHello that has exactly the faults a test asks for. */
function hello(parts: Hello): Buffer {
  const body = Buffer.concat([
    number(2, parts.version ?? 0x0303),
    Buffer.alloc(32, 0x5a),
    vector(1, parts.sessionId ?? Buffer.alloc(0)),
    vector(2, parts.suites ?? Buffer.from("13011302c02b", "hex")),
    vector(1, parts.compression ?? Buffer.of(0)),
    ...(parts.extensions === null ? [] : [vector(2, ...parts.extensions)]),
    parts.rest ?? Buffer.alloc(0),
  ]);
  return record(Buffer.concat([Buffer.of(1), number(3, body.length), body]));
}

function record(fragment: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(22, 3, 1), number(2, fragment.length), fragment]);
}

/** The handshake message in records of the given sizes, taken in turn. */
function rerecord(message: Buffer, sizes: readonly number[]): Buffer {
  const records: Buffer[] = [];
  for (let at = 0; at < message.length;) {
    const size = sizes[records.length % sizes.length] as number;
    records.push(record(message.subarray(at, at + size)));
    at += size;
  }
  return Buffer.concat(records);
}

function extension(type: number, data: Buffer): Buffer {
  return Buffer.concat([number(2, type), vector(2, data)]);
}

function sni(name: string): Buffer {
  return extension(0, vector(2, entry(0, name)));
}

function alpn(...names: string[]): Buffer {
  return extension(16, vector(2, ...names.map((name) => vector(1, Buffer.from(name, "latin1")))));
}

function entry(type: number, name: string | Buffer): Buffer {
  const bytes = typeof name === "string" ? Buffer.from(name, "latin1") : name;
  return Buffer.concat([Buffer.of(type), vector(2, bytes)]);
}

function vector(size: number, ...parts: Uint8Array[]): Buffer {
  const contents = Buffer.concat(parts);
  return Buffer.concat([number(size, contents.length), contents]);
}

function number(size: number, value: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
}

/** The same bytes with one of them changed by `delta`. */
function lying(bytes: Buffer, at: number, delta: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] as number) + delta;
  return copy;
}
