import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Http1Error, RULES, type Rule } from "../../src/http1/grammar.ts";
import { scanRequestHead, scanResponseHead } from "../../src/http1/head.ts";
import { mutated, pieces, requestHead, responseHead } from "./arbitraries.ts";
import { type Reference, referenceRequest, referenceResponse } from "./reference-parser.ts";

const LIMITS = { headBytes: 65_536, headFields: 256 };
const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

function codecRequest(input: Buffer): Reference {
  try {
    const head = scanRequestHead(input, LIMITS);
    if (head === null) return { kind: "incomplete" };
    return {
      kind: "head",
      start: [head.method, head.target, `HTTP/1.${head.minor}`],
      fields: [...head.fields.pairs()],
      bytes: head.bytes,
    };
  } catch (thrown) {
    if (thrown instanceof Http1Error) return { kind: "refused" };
    throw thrown;
  }
}

function codecResponse(input: Buffer): Reference {
  try {
    const head = scanResponseHead(input, LIMITS);
    if (head === null) return { kind: "incomplete" };
    return {
      kind: "head",
      start: [`HTTP/1.${head.minor}`, String(head.status), head.reason],
      fields: [...head.fields.pairs()],
      bytes: head.bytes,
    };
  } catch (thrown) {
    if (thrown instanceof Http1Error) return { kind: "refused" };
    throw thrown;
  }
}

describe("request head", () => {
  test("every well-formed head is read, to the last byte", () => {
    fc.assert(
      fc.property(requestHead, (text) => {
        const read = codecRequest(bytes(text));
        expect(read.kind).toBe("head");
        expect(read).toEqual(referenceRequest(bytes(text)));
      }),
      { numRuns: 1000 },
    );
  });

  test("spoiled heads are judged as the reference judges them", () => {
    fc.assert(
      fc.property(mutated(requestHead), (text) => {
        expect(codecRequest(bytes(text))).toEqual(referenceRequest(bytes(text)));
      }),
      { numRuns: 5000 },
    );
  });

  test("untouched fields are rendered as the very bytes that came", () => {
    fc.assert(
      fc.property(requestHead, (text) => {
        const head = scanRequestHead(bytes(text), LIMITS);
        const lines = text.slice(text.indexOf("\r\n") + 2, -2);
        expect(head?.fields.render()).toBe(lines);
      }),
    );
  });

  test("a head that arrives in pieces is the same head", () => {
    fc.assert(
      fc.property(requestHead, fc.array(fc.nat(), { maxLength: 5 }), (text, cuts) => {
        let sofar = Buffer.alloc(0);
        const parts = pieces(bytes(text), cuts);
        parts.forEach((part, i) => {
          sofar = Buffer.concat([sofar, part]);
          const read = scanRequestHead(sofar, LIMITS);
          if (i < parts.length - 1 && sofar.indexOf("\r\n\r\n") < 0) expect(read).toBeNull();
        });
        expect(codecRequest(sofar)).toEqual(referenceRequest(bytes(text)));
      }),
    );
  });

  test("what follows a head is not looked at", () => {
    const head = scanRequestHead(bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n\n\0garbage"), LIMITS);
    expect(head?.bytes).toBe(27);
  });
});

describe("response head", () => {
  test("every well-formed head is read, spoiled ones are judged as the reference judges them", () => {
    fc.assert(
      fc.property(fc.oneof(responseHead, mutated(responseHead)), (text) => {
        expect(codecResponse(bytes(text))).toEqual(referenceResponse(bytes(text)));
      }),
      { numRuns: 5000 },
    );
  });
});

describe("every rule of the head refuses what breaks it", () => {
  const cases: [Rule, string][] = [
    ["bare_lf", "GET / HTTP/1.1\nHost: a\n\n"],
    ["bare_lf", "GET / HTTP/1.1\r\nHost: a\n\r\n\r\n"],
    ["bare_cr", "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n"],
    ["request_line", "GET /\r\n\r\n"],
    ["request_line", "GET  / HTTP/1.1\r\n\r\n"],
    ["request_line", " GET / HTTP/1.1\r\n\r\n"],
    ["method", "\r\nGET / HTTP/1.1\r\n\r\n"],
    ["method", "G(T / HTTP/1.1\r\n\r\n"],
    ["target", "GET /\x80 HTTP/1.1\r\n\r\n"],
    ["target", "GET /\x01 HTTP/1.1\r\n\r\n"],
    ["target", "GET /a\tb HTTP/1.1\r\n\r\n"],
    ["version", "GET / HTTP/1.2\r\n\r\n"],
    ["version", "GET / http/1.1\r\n\r\n"],
    ["version", "GET / HTTP/1.1 \r\n\r\n"],
    ["version", "GET / HTTP/1.10\r\n\r\n"],
    ["version", "GET /a b HTTP/1.1\r\n\r\n"],
    ["version", "PRI * HTTP/2.0\r\n\r\n"],
    ["field_name", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"],
    ["field_name", "GET / HTTP/1.1\r\n: a\r\n\r\n"],
    ["field_name", "GET / HTTP/1.1\r\nno colon\r\n\r\n"],
    ["field_name", "GET / HTTP/1.1\r\nH\0st: a\r\n\r\n"],
    ["field_value", "GET / HTTP/1.1\r\nHost: a\0\r\n\r\n"],
    ["field_value", "GET / HTTP/1.1\r\nHost: \x7f\r\n\r\n"],
    ["obs_fold", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"],
    ["obs_fold", "GET / HTTP/1.1\r\n A: b\r\n\r\n"],
  ];
  test.each(cases)("%s: %j", (rule, text) => {
    expect(() => scanRequestHead(bytes(text), LIMITS)).toThrowError(expect.objectContaining({ rule }));
  });

  test.each([
    ["status_line", "HTTP/1.1 20 OK\r\n\r\n"],
    ["status_line", "HTTP/1.1 600 OK\r\n\r\n"],
    ["status_line", "HTTP/1.1 099 OK\r\n\r\n"],
    ["status_line", "HTTP/1.1  200 OK\r\n\r\n"],
    ["status_line", "HTTP/1.1 200OK\r\n\r\n"],
    ["status_line", "HTTP/1.1 200 O\0K\r\n\r\n"],
    ["version", "HTTP/2 200 OK\r\n\r\n"],
    ["version", "ICY 200 OK\r\n\r\n"],
  ] as [Rule, string][])("%s: %j", (rule, text) => {
    expect(() => scanResponseHead(bytes(text), LIMITS)).toThrowError(expect.objectContaining({ rule }));
  });

  test("bounds on bytes and fields hold, at their exact edge", () => {
    const line = (count: number): string => `GET /${"a".repeat(count)} HTTP/1.1\r\n\r\n`;
    const room = LIMITS.headBytes - line(0).length;
    expect(scanRequestHead(bytes(line(room)), LIMITS)?.bytes).toBe(LIMITS.headBytes);
    expect(() => scanRequestHead(bytes(line(room + 1)), LIMITS)).toThrowError(
      expect.objectContaining({ rule: "head_bytes" }),
    );
    expect(() => scanRequestHead(Buffer.alloc(LIMITS.headBytes, "a"), LIMITS)).toThrowError(/head_bytes/);
    const fields = (count: number): string => `GET / HTTP/1.1\r\n${"a: b\r\n".repeat(count)}\r\n`;
    expect(scanRequestHead(bytes(fields(256)), LIMITS)?.fields.length).toBe(256);
    expect(() => scanRequestHead(bytes(fields(257)), LIMITS)).toThrowError(
      expect.objectContaining({ rule: "head_fields" }),
    );
  });

  test("each rule names its section", () => {
    for (const text of Object.values(RULES)) expect(text).toMatch(/^RFC 91(10|12) §[0-9.]+: /);
  });
});
