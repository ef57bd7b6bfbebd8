import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BodyConsumer, bodyDecoder } from "../../src/http1/body.ts";
import { Http1Error, type Rule } from "../../src/http1/grammar.ts";
import { chunkedBody, mutated, pieces } from "./arbitraries.ts";
import { referenceChunked } from "./reference-parser.ts";

const LIMITS = { trailerBytes: 16_384, trailerFields: 64 };

class Gathered implements BodyConsumer {
  text = "";
  bodyData(chunk: Buffer): void {
    expect(chunk.length).toBeGreaterThan(0);
    this.text += chunk.toString("latin1");
  }
}

/** Decodes `parts`; `null` when refused or not complete. */
function decode(parts: readonly Buffer[]): ReturnType<typeof referenceChunked> {
  const decoder = bodyDecoder({ kind: "chunked" }, LIMITS);
  const gathered = new Gathered();
  let taken = 0;
  try {
    for (const part of parts) {
      if (decoder.done) break;
      taken += decoder.push(part, gathered);
    }
  } catch (thrown) {
    if (thrown instanceof Http1Error) return null;
    throw thrown;
  }
  if (!decoder.done) return null;
  return { body: gathered.text, trailers: [...(decoder.trailers?.pairs() ?? [])], bytes: taken };
}

describe("chunked bodies", () => {
  test("well-formed and spoiled ones, in any pieces, read as the reference reads them", () => {
    fc.assert(
      fc.property(fc.oneof(chunkedBody, mutated(chunkedBody)), fc.array(fc.nat(), { maxLength: 8 }), (text, cuts) => {
        const input = Buffer.from(text, "latin1");
        expect(decode(pieces(input, cuts))).toEqual(referenceChunked(input));
      }),
      { numRuns: 5000 },
    );
  });

  test("byte by byte is the same", () => {
    fc.assert(
      fc.property(chunkedBody, (text) => {
        const input = Buffer.from(text, "latin1");
        expect(decode([...input].map((byte) => Buffer.of(byte)))).toEqual(referenceChunked(input));
      }),
    );
  });

  test.each([
    ["chunk_size", "\r\n"],
    ["chunk_size", "-1\r\n"],
    ["chunk_size", "0x1\r\n"],
    ["chunk_size", "1 \r\n"],
    ["chunk_size", " 1\r\n"],
    ["chunk_size", "ffffffffffffff\r\n"],
    ["bare_lf", "1\na"],
    ["bare_cr", "1\ra"],
    ["chunk_extension", `1;${"a".repeat(16_385)}`],
    ["chunk_extension", "1;a\0\r\n"],
    ["chunk_extension", "1;a\nb"],
    ["chunk_data", "1\r\nab\r\n"],
    ["chunk_data", "1\r\na\n0"],
    ["trailer_bytes", `0\r\na: ${"b".repeat(16_384)}`],
    ["bare_lf", "0\r\na: b\n\r\n"],
    ["field_name", "0\r\na : b\r\n\r\n"],
    ["obs_fold", "0\r\na: b\r\n c\r\n\r\n"],
  ] as [Rule, string][])("%s: %.40j", (rule, text) => {
    const decoder = bodyDecoder({ kind: "chunked" }, LIMITS);
    expect(() => decoder.push(Buffer.from(text, "latin1"), { bodyData: () => undefined })).toThrowError(
      expect.objectContaining({ rule }),
    );
  });

  test("a connection that closes early never ends a chunked body", () => {
    const decoder = bodyDecoder({ kind: "chunked" }, LIMITS);
    decoder.push(Buffer.from("3\r\nabc\r\n"), { bodyData: () => undefined });
    expect(decoder.endsAtClose()).toBe(false);
    decoder.push(Buffer.from("0\r\n"), { bodyData: () => undefined });
    expect(decoder.endsAtClose()).toBe(false);
    decoder.push(Buffer.from("\r\n"), { bodyData: () => undefined });
    expect(decoder.endsAtClose()).toBe(true);
  });
});

describe("length bodies", () => {
  test("take their length and leave the rest, in any pieces", () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 300 }),
        fc.nat({ max: 300 }),
        fc.array(fc.nat(), { maxLength: 6 }),
        (length, extra, cuts) => {
          const input = Buffer.alloc(length + extra, "x");
          const decoder = bodyDecoder({ kind: "length", length }, LIMITS);
          const gathered = new Gathered();
          let taken = 0;
          for (const part of pieces(input, cuts)) taken += decoder.push(part, gathered);
          expect(gathered.text.length).toBe(length);
          expect(taken).toBe(length);
          expect(decoder.done).toBe(true);
        },
      ),
    );
  });

  test("a connection that closes early does not end them; close-delimited ones end there", () => {
    const cut = bodyDecoder({ kind: "length", length: 2 }, LIMITS);
    cut.push(Buffer.from("a"), { bodyData: () => undefined });
    expect(cut.endsAtClose()).toBe(false);
    expect(bodyDecoder({ kind: "close" }, LIMITS).endsAtClose()).toBe(true);
  });
});
