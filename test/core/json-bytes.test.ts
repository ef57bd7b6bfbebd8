import { array, assert, constantFrom, double, oneof, property, string } from "fast-check";
import { describe, expect, test } from "vitest";
import { JsonBytes } from "../../src/core/json-bytes.ts";

function written(write: (bytes: JsonBytes) => void): string {
  const bytes = new JsonBytes();
  write(bytes);
  expect(bytes.bytes.toString("latin1")).toBe(String(bytes));
  expect(bytes.length).toBe(String(bytes).length);
  return String(bytes);
}

describe("JSON in bytes", () => {
  test("a string is printable ASCII and says what it said", () => {
    const odd = oneof(string({ unit: "binary" }), string(), constantFrom('"', "\\", "\u007f", "\uffff", "\ud800"));
    assert(
      property(odd, (value) => {
        const text = written((bytes) => bytes.quoted(value));
        expect(text).toMatch(/^"[ -~]*"$/);
        expect(JSON.parse(text)).toBe(value);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    [0, "0"],
    [-0, "0"],
    [7, "7"],
    [9.9, "9"],
    [10, "10"],
    [2048.7, "2048"],
    [Number.MAX_SAFE_INTEGER, "9007199254740991"],
    [Number.MAX_SAFE_INTEGER + 1, "0"],
    [-1, "0"],
    [0.4, "0"],
    [Number.NaN, "0"],
    [Number.POSITIVE_INFINITY, "0"],
  ])("%d is written as %s", (value, text) => {
    expect(written((bytes) => bytes.whole(value))).toBe(text);
  });

  test("any number is one that JSON knows", () => {
    assert(
      property(double(), (value) => {
        expect(written((bytes) => bytes.whole(value))).toMatch(/^(0|[1-9][0-9]*)$/);
      }),
    );
  });

  test("grows with what is written, in pieces of any length", () => {
    const piece = string({ unit: "grapheme-ascii", maxLength: 3000 });
    assert(
      property(array(piece), (pieces) => {
        const other = new JsonBytes();
        const whole = written((bytes) => {
          for (const text of pieces) {
            other.cut(0);
            other.raw(text);
            bytes.raw(text);
            bytes.append(other);
            bytes.put(Buffer.from(text, "latin1"));
          }
        });
        expect(whole).toBe(pieces.map((text) => text + text + text).join(""));
      }),
    );
  });

  test("a cut keeps what is before it", () => {
    const text = written((bytes) => {
      bytes.raw('{"a":1}');
      bytes.cut(5);
      bytes.raw("2}");
    });
    expect(text).toBe('{"a":2}');
  });
});
