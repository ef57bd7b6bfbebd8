import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Denial, DENIAL_CODES } from "../../src/core/denial.ts";
import { socksCodeOf } from "../../src/guest/socks-denial.ts";
import { type SocksEnd, SocksHandshake } from "../../src/guest/socks-handshake.ts";
import { command, greeting, login } from "./support/socks.ts";

/** The SOCKS5 handshake without a socket: whole, cut anywhere, and of no sense at all. */

interface Told {
  /** Latin-1. */
  readonly answers: string;
  readonly end: SocksEnd | null;
  /** What was not the handshake's, Latin-1. */
  readonly rest: string;
}

/** Hands `bytes` over in pieces of these lengths, the remainder in one, until the handshake ends. */
function run(bytes: Buffer, lengths: readonly number[] = []): Told {
  const handshake = new SocksHandshake();
  let answers = "";
  let at = 0;
  for (const length of [...lengths, bytes.length]) {
    const { answer, end } = handshake.take(Buffer.from(bytes.subarray(at, at + length)));
    at = Math.min(at + length, bytes.length);
    answers += answer;
    if (end === null) continue;
    if (end.kind === "refused") return { answers, end, rest: "" };
    return { answers, end, rest: end.rest.toString("latin1") + bytes.toString("latin1", at) };
  }
  return { answers, end: null, rest: "" };
}

const NAMED = command("api.test", 443);
const text = (...parts: (string | Buffer)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part)));

function refusal(bytes: Buffer): { readonly answers: string; readonly fault: string } {
  const { answers, end } = run(bytes);
  if (end?.kind !== "refused") throw new Error("it was not refused");
  return { answers, fault: end.fault };
}

describe("a request", () => {
  test.each([
    ["a name", command("Api.Test", 443), "api.test:443"],
    ["an IPv4 address", command([192, 0, 2, 7], 80), "192.0.2.7:80"],
    ["an IPv6 address", command(Buffer.from("20010db8000000000000000000000001", "hex"), 8443), "[2001:db8::1]:8443"],
  ])("for %s", (_name, request, authority) => {
    const { answers, end } = run(text(greeting(0), request));
    expect(answers).toBe("\x05\x00");
    expect(end).toMatchObject({ kind: "asked", authority: { text: authority }, proof: null });
  });

  test("user and password are the proof that Basic would be", () => {
    const { answers, end } = run(text(greeting(0, 2), login("sandbox", "t:k\xe9n"), NAMED));
    expect(answers).toBe("\x05\x02\x01\x00");
    expect(end).toMatchObject({ proof: `Basic ${Buffer.from("sandbox:t:k\xe9n", "latin1").toString("base64")}` });
  });

  test.each([
    ["", "token"],
    ["token", ""],
    ["", ""],
    ["u".repeat(255), "p".repeat(255)],
  ])("user %j, password %j", (user, password) => {
    const { end } = run(text(greeting(2), login(user, password), NAMED));
    expect(end).toMatchObject({ proof: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` });
  });

  test("what was sent ahead of the answer is kept", () => {
    expect(run(text(greeting(0), NAMED, "GET / HTTP/1.1\r\n"))).toMatchObject({
      end: { kind: "asked" },
      rest: "GET / HTTP/1.1\r\n",
    });
  });
});

describe("refused, by name and reply", () => {
  const GENERAL = "\x05\x01\0\x01\0\0\0\0\0\0";
  test.each([
    ["SOCKS4", "\x04\x01\x00\x50", "", /not a SOCKS5 greeting/],
    ["HTTP", "CONNECT api.test:443 HTTP/1.1\r\n", "", /not a SOCKS5 greeting/],
    ["TLS", "\x16\x03\x01", "", /not a SOCKS5 greeting/],
    ["no method", greeting(), "\x05\xff", /offers neither/],
    ["GSSAPI alone", greeting(1), "\x05\xff", /offers neither/],
  ])("%s", (_name, bytes, answers, fault) => {
    expect(refusal(text(bytes))).toEqual({ answers, fault: expect.stringMatching(fault) as string });
  });

  test.each([
    ["a login of another version", "\x05\x01u\x01p"],
    ["a colon in the user", login("a:b", "c")],
  ])("%s", (_name, bytes) => {
    expect(refusal(text(greeting(2), bytes)).answers).toBe("\x05\x02\x01\x01");
  });

  test.each([
    ["another version", "\x04\x01\0\x01"],
    ["the reserved byte", "\x05\x01\x01\x01"],
    ["port 0", command("api.test", 0)],
    ["no name", command("", 443)],
    ["NUL in the name", command("api.test\0.evil", 443)],
    ["NUL at its end", command("api.test\0", 443)],
    ["a name of 255 bytes", command("a".repeat(255), 443)],
    ["a label of 64 bytes", command(`${"a".repeat(64)}.test`, 443)],
    ["a trailing dot", command("api.test.", 443)],
    ["no ASCII", command("\xe4pi.test", 443)],
    ["an IPv4 address as a name", command("127.0.0.1", 443)],
    ["a short one", command("127.1", 443)],
    ["a hex one", command("0x7f000001", 443)],
    ["a decimal one", command("2130706433", 443)],
    ["an octal one", command("0177.0.0.1", 443)],
    ["an IPv6 address as a name", command("::1", 443)],
    ["one in brackets", command("[::1]", 443)],
    ["a port in the name", command("api.test:80", 443)],
    ["a user in the name", command("user@api.test", 443)],
    ["a blank", command("api.test ", 443)],
    ["an IPv4 address in IPv6", command(Buffer.from("00000000000000000000ffff7f000001", "hex"), 443)],
  ])("%s", (_name, bytes) => {
    expect(refusal(text(greeting(0), bytes)).answers).toBe(`\x05\x00${GENERAL}`);
  });

  test.each([
    ["BIND", "\x05\x02\0\x01\x7f\0\0\x01\0\x50", "\x07"],
    ["UDP ASSOCIATE", "\x05\x03\0\x01\0\0\0\0\0\0", "\x07"],
    ["a command of nobody", "\x05\x09", "\x07"],
    ["an address type of nobody", "\x05\x01\0\x02", "\x08"],
  ])("%s", (_name, bytes, code) => {
    expect(refusal(text(greeting(0), bytes)).answers).toBe(`\x05\x00\x05${code}\0\x01\0\0\0\0\0\0`);
  });
});

describe("whatever comes", () => {
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 700 }),
    fc
      .tuple(fc.constantFrom(greeting(0), greeting(2), greeting(0, 2)), fc.uint8Array({ maxLength: 600 }))
      .map(([start, rest]) => text(start, Buffer.from(rest))),
    fc
      .record({
        methods: fc.uint8Array({ maxLength: 4 }),
        user: fc.string({ unit: "binary-ascii", maxLength: 20 }),
        password: fc.string({ unit: "binary-ascii", maxLength: 20 }),
        name: fc.oneof(fc.domain(), fc.ipV4(), fc.string({ unit: "binary-ascii", maxLength: 40 })),
        port: fc.integer({ min: 0, max: 65_535 }),
        rest: fc.uint8Array({ maxLength: 50 }),
      })
      .map(({ methods, user, password, name, port, rest }) =>
        text(
          greeting(...methods),
          methods.includes(2) ? login(user, password) : "",
          command(name.slice(0, 255), port),
          Buffer.from(rest),
        ),
      ),
  );

  test("never throws, and ends the same however it is cut", () => {
    fc.assert(
      fc.property(anyBytes, fc.array(fc.nat({ max: 40 })), (bytes, lengths) => {
        const whole = run(Buffer.from(bytes));
        expect(run(Buffer.from(bytes), lengths)).toMatchObject({
          answers: whole.answers,
          end:
            whole.end === null
              ? null
              : { ...whole.end, ...(whole.end.kind === "asked" ? { rest: expect.anything() as Buffer } : {}) },
          rest: whole.rest,
        });
      }),
      { numRuns: 2000 },
    );
  });

  test("byte by byte as in one", () => {
    const bytes = text(greeting(0, 2), login("u", "p"), NAMED, "tail");
    expect(
      run(
        bytes,
        Array.from({ length: bytes.length }, () => 1),
      ),
    ).toMatchObject({
      answers: "\x05\x02\x01\x00",
      end: { kind: "asked", authority: { text: "api.test:443" } },
      rest: "tail",
    });
  });

  test("a name is one that CONNECT would take, and no address", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary-ascii", maxLength: 60 }), (name) => {
        const { end } = run(text(greeting(0), command(name, 443)));
        if (end?.kind !== "asked") return;
        expect(end.authority.ip).toBeNull();
        expect(end.authority.host).toBe(name.toLowerCase());
      }),
    );
  });
});

describe("a denial as a reply", () => {
  test.each([
    ["destination_not_allowed", 0x02],
    ["session_invalid", 0x02],
    ["policy_denied", 0x02],
    ["address_denied", 0x02],
    ["loop_detected", 0x02],
    ["name_unresolved", 0x04],
    ["upstream_timeout", 0x04],
    ["upstream_unreachable", 0x04],
    ["connection_limit", 0x01],
    ["draining", 0x01],
    ["internal", 0x01],
  ] as const)("%s is %i", (code, reply) => {
    expect(socksCodeOf(new Denial(code))).toBe(reply);
  });

  test("an upstream that refused", () => {
    const cause = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    expect(socksCodeOf(new Denial("upstream_unreachable", { cause }))).toBe(0x05);
  });

  test("none is a success", () => {
    for (const code of DENIAL_CODES) expect(socksCodeOf(new Denial(code))).toBeGreaterThan(0);
  });
});
