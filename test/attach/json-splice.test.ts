import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BodyFault } from "../../src/attach/body-fault.ts";
import { spliceJson } from "../../src/attach/json-splice.ts";

/** One value is put into a JSON text; every other byte stays. Held against `JSON.parse`. */

function splice(text: string | Buffer, pointer: string, value = '"new"'): string {
  const tokens = pointer.slice(1).split("/");
  return spliceJson(Buffer.from(text), tokens, value).toString();
}

function faultOf(text: string | Buffer, pointer = "/a"): string {
  try {
    splice(text, pointer);
    return "none";
  } catch (thrown) {
    if (thrown instanceof BodyFault) return thrown.message;
    throw thrown;
  }
}

describe("where it goes", () => {
  test.each([
    ["replaced", '{"a":1}', "/a", '{"a":"new"}'],
    ["replaced, whatever stood there", '{ "a" : {"b":[1,{"a":2}]} , "b":2 }', "/a", '{ "a" : "new" , "b":2 }'],
    [
      "the rest to the byte",
      ' \n{"b":1.50e+1,"a":null ,"c":"\\u0041\\/"}\t',
      "/a",
      ' \n{"b":1.50e+1,"a":"new" ,"c":"\\u0041\\/"}\t',
    ],
    ["an escaped name is the name", '{"\\u0061":1}', "/a", '{"\\u0061":"new"}'],
    ["written where it is missing", '{"b":1}', "/a", '{"a":"new","b":1}'],
    ["written into nothing", "{ }", "/a", '{"a":"new" }'],
    ["with what leads there", '{"x":1}', "/a/b/c", '{"a":{"b":{"c":"new"}},"x":1}'],
    ["inside", '{"a":{"c":[ ]}}', "/a/b", '{"a":{"b":"new","c":[ ]}}'],
    ["an element", '[0,{"a":1},2]', "/1/a", '[0,{"a":"new"},2]'],
    ["a digit may be a name", '{"0":1}', "/0", '{"0":"new"}'],
    ["an own name elsewhere", '{"b":{"a":1,"A":2,"a":3},"a":4}', "/a", '{"b":{"a":1,"A":2,"a":3},"a":"new"}'],
    ["an empty name", '{"":1}', "/", '{"":"new"}'],
  ])("%s", (_name, text, pointer, wanted) => {
    expect(splice(text, pointer)).toBe(wanted);
  });
});

describe("what an upstream might read another way", () => {
  test.each([
    ["two members", '{"a":1,"a":2}', "two members"],
    ["two members, one escaped", '{"a":1,"\\u0061":2}', "two members"],
    ["two ways to the place", '{"a":1,"b":{},"a":{}}', "two members"],
    ["another case", '{"A":1}', "nearly the same"],
    ["another case behind it", '{"a":1,"A":2}', "nearly the same"],
    ["a full-width letter", '{"\uff41":1}', "nearly the same"],
    ["up to a NUL", '{"a\\u0000b":1}', "nearly the same"],
    ["blanks around", '{" a ":1}', "nearly the same"],
    ["blanks around, in another case", '{"x":{},"  A":1}', "nearly the same"],
    ["blanks around, escaped", '{"\\u0020a":1}', "nearly the same"],
    ["a comment", '{/* "a":2 */"b":1}', "no JSON"],
    ["a comma too many", '{"b":1,}', "no JSON"],
    ["single quotes", "{'b':1}", "no JSON"],
    ["no quotes", "{b:1}", "no JSON"],
    ["NaN", '{"b":NaN}', "no JSON"],
    ["a leading zero", '{"b":01}', "no JSON"],
    ["a line break in a string", '{"b":"\n"}', "no JSON"],
    ["another escape", '{"b":"\\x41"}', "no JSON"],
    ["a byte order mark", '\ufeff{"b":1}', "no JSON"],
    ["two texts", '{"b":1}{"a":2}', "no JSON"],
    ["text behind", '{"b":1} x', "no JSON"],
    ["a part", '{"b":1', "no JSON"],
    ["nothing", "", "no JSON"],
    ["a scalar", '"a"', "holds nothing"],
    ["a blank of another kind", '{\u00a0"b":1}', "no JSON"],
  ])("%s is refused", (_name, text, fault) => {
    expect(faultOf(text)).toContain(fault);
  });

  test("a K that is the Kelvin sign, an s that is long", () => {
    expect(faultOf('{"to\u212aen":1}', "/token")).toContain("nearly the same");
    expect(faultOf('{"acce\u017fs":1}', "/access")).toContain("nearly the same");
  });

  test.each([
    ["through a text", '{"a":"x"}', "/a/b", "holds nothing"],
    ["through null", '{"a":null}', "/a/b", "holds nothing"],
    ["behind the last element", '{"a":[1]}', "/a/1", "no such element"],
    ["a name in a list", '{"a":[1]}', "/a/b", "no such element"],
    ["an element of nothing", "[]", "/0", "no such element"],
    ["an index in another spelling", "[1,2]", "/01", "no such element"],
  ])("%s there is no place", (_name, text, pointer, fault) => {
    expect(faultOf(text, pointer)).toContain(fault);
  });

  test.each([
    ["a lone byte", [0x80]],
    ["an overlong quote", [0xc0, 0xa2]],
    ["a surrogate", [0xed, 0xa0, 0x80]],
    ["a cut letter", [0xc3]],
  ])("%s is no UTF-8", (_name, bytes) => {
    expect(faultOf(Buffer.concat([Buffer.from('{"b":"'), Buffer.from(bytes), Buffer.from('"}')]))).toContain("UTF-8");
  });

  test("other encodings are no JSON either", () => {
    expect(faultOf(Buffer.from('{"a":1}', "utf16le"))).toContain("no JSON");
  });

  test("names that take decoding are bounded on the way, plain ones and those aside are not", () => {
    const object = (name: string, count: number): string =>
      `{${Array.from({ length: count }, (_, i) => `"${name}${i}":1`).join(",")}}`;
    expect(faultOf(object("x", 50_000))).toBe("none");
    expect(faultOf(`{"b":${object("\\u0062", 5000)}}`)).toBe("none");
    expect(faultOf(object("\\u0062", 5000))).toContain("in an odd way");
    expect(faultOf(object("\u00e9", 5000))).toContain("in an odd way");
  });

  test("depth is bounded, on the way and aside", () => {
    const deep = (levels: number): string => `{"b":${"[".repeat(levels)}${"]".repeat(levels)}}`;
    expect(faultOf(deep(127))).toBe("none");
    expect(faultOf(deep(200))).toContain("nested");
    expect(faultOf(deep(500_000))).toContain("nested");
    expect(faultOf('{"b":'.repeat(400_000))).toContain("nested");
  });
});

/** Every other way to write the same: escapes, blanks. */
const styled = fc
  .record({ text: fc.json({ maxDepth: 6 }), indent: fc.constantFrom(undefined, 1, "\t") })
  .map(({ text, indent }) => JSON.stringify(JSON.parse(text), null, indent));

describe("held against JSON.parse", () => {
  const names = fc.constantFrom("a", "b", "token", "x y", "\u00e9", "~", "0", "1");

  test("a whole object: one member is another, the rest is the same", () => {
    fc.assert(
      fc.property(
        fc.dictionary(names, fc.jsonValue({ maxDepth: 4 })),
        names,
        fc.string(),
        fc.constantFrom(undefined, 2),
        (object, name, value, indent) => {
          const text = JSON.stringify(object, null, indent);
          const out = spliceJson(Buffer.from(text), [name], JSON.stringify(value)).toString();
          expect(JSON.parse(out)).toEqual({ ...(JSON.parse(text) as object), [name]: value });
        },
      ),
    );
  });

  test("what is around the place is the same bytes", () => {
    fc.assert(
      fc.property(styled, styled, styled, (before, old, after) => {
        const text = `{"p":${before} ,"a": ${old}\n,"q":${after}}`;
        expect(splice(text, "/a")).toBe(`{"p":${before} ,"a": "new"\n,"q":${after}}`);
      }),
    );
  });

  test("texts are refused when JSON.parse refuses them", () => {
    const mutated = fc.tuple(
      styled,
      fc.nat(),
      fc.constantFrom("", ",", '"', "\\", "}", "]", "0", "e", ".", "-", "\u0001", "x", " "),
      fc.boolean(),
    );
    fc.assert(
      fc.property(mutated, ([json, at, put, insert]) => {
        const spot = at % (json.length + 1);
        const text = json.slice(0, spot) + put + json.slice(insert ? spot : spot + 1);
        let parses = true;
        try {
          JSON.parse(text);
        } catch {
          parses = false;
        }
        const fault = faultOf(`{"b":${text}}`);
        // A text that closes the object early can be one again with what follows.
        let wholeParses = true;
        try {
          JSON.parse(`{"b":${text}}`);
        } catch {
          wholeParses = false;
        }
        expect(fault.startsWith("the body is no JSON")).toBe(!wholeParses);
        if (parses) expect(wholeParses).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});
