import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crc32c } from "../../src/guest/crc32c.ts";
import { beginsProxyHeader, type ProxyHeader, readProxyHeader } from "../../src/guest/proxy-header.ts";
import { SIGNATURE, V4_ADDRESSES, V6_ADDRESSES, version2 } from "./support/proxy-header.ts";

/** The PROXY header without a socket. */

const line = (text: string): Buffer => Buffer.from(text, "latin1");

describe("version 1", () => {
  test.each([
    ["PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", "192.0.2.7"],
    ["PROXY TCP4 192.0.2.7 198.51.100.1 0 65535\r\n", "192.0.2.7"],
    ["PROXY TCP6 2001:DB8::0:7 2001:db8::1 56324 443\r\n", "2001:db8::7"],
    [
      `PROXY TCP6 ${Array.from({ length: 2 }, () => "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").join(" ")} 65535 65535\r\n`,
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ],
  ])("%j", (text, source) => {
    expect(readProxyHeader(line(`${text}GET`))).toEqual({ bytes: text.length, source });
  });

  test.each([
    "GET / HTTP/1.1\r\n",
    "PROXX TCP4",
    "PROXY\r\n",
    "PROXY \r\n",
    "PROXY UNKNOWN\r\n",
    "PROXY UNKNOWN 192.0.2.7 198.51.100.1 1 2\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\rX",
    "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
    "PROXY TCP4  192.0.2.7 198.51.100.1 56324 443\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 056324 443\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n",
    "PROXY TCP4 192.0.2.07 198.51.100.1 1 443\r\n",
    "PROXY TCP4 192.0.2.256 198.51.100.1 1 443\r\n",
    "PROXY TCP4 2001:db8::7 2001:db8::1 1 443\r\n",
    "PROXY TCP6 192.0.2.7 198.51.100.1 1 443\r\n",
    "PROXY TCP6 fe80::1%eth0 2001:db8::1 1 443\r\n",
    "PROXY TCP4 192.0.2.7 nowhere 1 443\r\n",
    "PROXY UDP4 192.0.2.7 198.51.100.1 1 443\r\n",
    "proxy TCP4 192.0.2.7 198.51.100.1 1 443\r\n",
    `PROXY TCP4 ${"1".repeat(100)}`,
    `PROXY UNKNOWN ${"x".repeat(92)}\r\n`,
  ])("refused: %j", (text) => {
    expect(readProxyHeader(line(text))).toEqual({ problem: expect.any(String) as string });
  });

  test.each(["", "P", "PROXY", "PROXY TCP4 192.0.2.7 198.51.100.1 1 443", "PROXY TCP4 192.0.2.7 198.51.100.1 1 443\r"])(
    "not whole yet: %j",
    (text) => {
      expect(readProxyHeader(line(text))).toBeNull();
    },
  );
});

describe("version 2", () => {
  const unix = Buffer.alloc(216);
  const crc = (value: Buffer): Buffer => version2({ tlvs: [[0x03, value]] });
  const zeroed = crc(Buffer.alloc(4));
  const right = Buffer.alloc(4);
  right.writeUInt32BE(crc32c(zeroed));

  test.each([
    ["IPv4", version2(), "192.0.2.7"],
    ["IPv6", version2({ family: 0x21, addresses: V6_ADDRESSES }), "2001:db8::7"],
    ["a socket file", version2({ family: 0x31, addresses: unix }), "unix"],
    ["the balancer itself", version2({ command: 0x20, family: 0, addresses: Buffer.alloc(0) }), null],
    ["the balancer itself with what means nothing", version2({ command: 0x20, family: 0x77 }), null],
    [
      "TLVs",
      version2({
        tlvs: [
          [0x02, line("api.test")],
          [0x04, Buffer.alloc(9)],
          [0xea, line("x")],
        ],
      }),
      "192.0.2.7",
    ],
    ["a right checksum", crc(right), "192.0.2.7"],
    ["4,096 bytes", version2({ tlvs: [[0x04, Buffer.alloc(4096 - 28 - 3)]] }), "192.0.2.7"],
  ])("%s", (_name, header, source) => {
    expect(readProxyHeader(Buffer.concat([header, line("GET")]))).toEqual({ bytes: header.length, source });
    expect(readProxyHeader(header.subarray(0, -1))).toBeNull();
  });

  test.each([
    ["a signature that ends otherwise", Buffer.concat([SIGNATURE.subarray(0, 11), line("\r")])],
    ["version 1 in version 2", version2({ command: 0x11 })],
    ["version 3", version2({ command: 0x31 })],
    ["a command of nobody", version2({ command: 0x22 })],
    ["no family", version2({ family: 0x00 })],
    ["datagrams", version2({ family: 0x12 })],
    ["a family of nobody", version2({ family: 0x41 })],
    ["too short for its addresses", version2({ addresses: V4_ADDRESSES.subarray(0, 11) })],
    ["4,097 bytes", version2({ tlvs: [[0x04, Buffer.alloc(4097 - 28 - 3)]] })],
    ["65,535 bytes, told at once", version2({ length: 65_535 })],
    ["a cut TLV", version2({ addresses: Buffer.concat([V4_ADDRESSES, Buffer.from([4, 0])]) })],
    ["a TLV longer than the header", version2({ addresses: Buffer.concat([V4_ADDRESSES, Buffer.from([4, 0, 2, 0])]) })],
    ["a wrong checksum", crc(Buffer.from([1, 2, 3, 4]))],
    ["a checksum of three bytes", crc(Buffer.alloc(3))],
  ])("refused: %s", (_name, header) => {
    expect(readProxyHeader(header)).toEqual({ problem: expect.any(String) as string });
  });

  test("CRC-32C of the RFC's example", () => {
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
    expect(crc32c(line("123456789"))).toBe(0xe3069283);
  });
});

describe("whatever comes", () => {
  /** What is said once it is said, segment by segment. */
  function told(bytes: Buffer, lengths: readonly number[]): ProxyHeader {
    let at = 0;
    for (const length of lengths) {
      at += length;
      const header = readProxyHeader(bytes.subarray(0, at));
      if (header !== null) return header;
    }
    return readProxyHeader(bytes);
  }

  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([SIGNATURE, bytes])),
    fc
      .record({
        command: fc.constantFrom(0x20, 0x21),
        family: fc.constantFrom(0x11, 0x21, 0x31),
        rest: fc.uint8Array({ maxLength: 300 }),
      })
      .map(({ command, family, rest }) => version2({ command, family, addresses: Buffer.from(rest) })),
    fc.string({ unit: "binary-ascii", maxLength: 120 }).map((text) => line(`PROXY ${text}`)),
    fc
      .tuple(
        fc.constantFrom("TCP4", "TCP6", "UNKNOWN"),
        fc.oneof(fc.ipV4(), fc.ipV6()),
        fc.oneof(fc.ipV4(), fc.ipV6()),
        fc.nat(70_000),
        fc.nat(70_000),
      )
      .map((words) => line(`PROXY ${words.join(" ")}\r\nGET / HTTP/1.1\r\n`)),
  );

  test("never throws, and is told the same however it is cut", () => {
    fc.assert(
      fc.property(anyBytes, fc.array(fc.nat({ max: 30 })), (bytes, lengths) => {
        const whole = readProxyHeader(bytes);
        const cut = told(bytes, lengths);
        if (whole !== null && "problem" in whole) expect(cut).toHaveProperty("problem");
        else expect(cut).toEqual(whole);
      }),
      { numRuns: 3000 },
    );
  });

  test("nothing behind 4,096 bytes is ever waited for", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4, maxLength: 4 }), (fixed) => {
        expect(readProxyHeader(Buffer.concat([SIGNATURE, fixed, Buffer.alloc(5000, 4)]))).not.toBeNull();
      }),
    );
  });
});

describe("a header within a header", () => {
  test.each([
    [line("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"), true],
    [version2(), true],
    [line("GET http://api.test/ HTTP/1.1\r\n"), false],
    [line("PROXYING"), false],
    [Buffer.alloc(0), false],
    [SIGNATURE.subarray(0, 11), false],
  ])("%j: %s", (bytes, begins) => {
    expect(beginsProxyHeader(bytes)).toBe(begins);
  });
});
