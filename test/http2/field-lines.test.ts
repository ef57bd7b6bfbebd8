import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Fields } from "../../src/core/fields.ts";
import { scanRequestHead } from "../../src/http1/head.ts";
import { requestHeadText } from "../../src/http1/writer.ts";
import { appendFieldLines, type FieldLines, readFieldLines } from "../../src/http2/field-lines.ts";
import { Http2Error } from "../../src/http2/grammar.ts";
import { fieldList, pseudoList } from "./arbitraries.ts";

const RUNS = 3000;
const LIMITS = { fields: 100, bytes: 65_536 };
const PSEUDO = new Set([":method", ":scheme", ":path", ":authority", ":protocol"]);

/** @returns `null` for a list that breaks a rule @throws whatever is no `Http2Error` */
function read(raw: readonly string[], limits = LIMITS): FieldLines | null {
  try {
    return readFieldLines(raw, PSEUDO, limits);
  } catch (thrown) {
    if (thrown instanceof Http2Error) return null;
    throw thrown;
  }
}

const rawList = fc.tuple(pseudoList("api.test"), fieldList).map(([pseudo, lines]) => [...pseudo, ...lines]);

/** The lines of `raw` with cookies joined where the first one stands. */
function joined(raw: readonly string[]): [string, string][] {
  const pairs = raw.flatMap((name, i): [string, string][] => (i % 2 === 0 ? [[name, raw[i + 1] as string]] : []));
  const lines = pairs.filter(([name]) => !name.startsWith(":"));
  const crumbs = lines.filter(([name]) => name === "cookie").map(([, value]) => value);
  const first = lines.findIndex(([name]) => name === "cookie");
  return lines.flatMap(([name, value], i): [string, string][] => {
    if (name !== "cookie") return [[name, value]];
    return i === first ? [[name, crumbs.join("; ")]] : [];
  });
}

describe("a list of fields", () => {
  test("is read or refused by a rule, whatever is in it", () => {
    let passed = 0;
    fc.assert(
      fc.property(rawList, (raw) => {
        if (read(raw) !== null) passed++;
      }),
      { numRuns: RUNS },
    );
    // Lists that are all refused would show nothing below.
    expect(passed).toBeGreaterThan(RUNS / 10);
  });

  test("that passes is what HTTP/1.1 reads back, line by line", () => {
    fc.assert(
      fc.property(rawList, (raw) => {
        const block = read(raw);
        if (block === null) return;
        const text = requestHeadText("GET", "/", Fields.of(block.lines), "");
        const head = scanRequestHead(Buffer.from(text, "latin1"), { headBytes: 1_000_000, headFields: 1000 });
        expect(head?.bytes).toBe(text.length);
        const names = block.lines.map((_, i) => head?.fields.rawName(i));
        expect(head?.fields.length).toBe(block.lines.length);
        expect(names).toEqual(block.lines.map(([name]) => name));
        // A last crumb that is empty ends the joined line with a blank, which no reader of HTTP/1.1 counts.
        const values = block.lines.map(([, value]) => value.replaceAll(/^[ \t]+|[ \t]+$/g, ""));
        expect(block.lines.map((_, i) => head?.fields.value(i))).toEqual(values);
      }),
      { numRuns: RUNS },
    );
  });

  test("that passes comes out as it went in, cookies joined, `te` left to each hop", () => {
    fc.assert(
      fc.property(rawList, (raw) => {
        const block = read(raw);
        if (block === null) return;
        expect(block.lines).toEqual(joined(raw));
        const out = appendFieldLines([], Fields.of(block.lines));
        expect(out).toEqual(
          joined(raw)
            .filter(([name]) => name !== "te")
            .flat(),
        );
      }),
      { numRuns: RUNS },
    );
  });

  test("is bounded in fields and in bytes", () => {
    fc.assert(
      fc.property(rawList, fc.nat({ max: 8 }), fc.nat({ max: 600 }), (raw, fields, bytes) => {
        const block = read(raw, { fields, bytes });
        if (block === null) return;
        expect(block.lines.length).toBeLessThanOrEqual(fields);
        expect(raw.join("").length + 16 * raw.length).toBeLessThanOrEqual(bytes);
      }),
      { numRuns: RUNS },
    );
  });
});
