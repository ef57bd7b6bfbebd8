import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import * as fc from "fast-check";
import { dump, load } from "js-yaml";
import { describe, expect, test } from "vitest";
import { parseConfig, parseCustodyConfig } from "../../src/config/load.ts";
import type { Loaded } from "../../src/config/load.ts";

/** Whatever stands in a file, there is a config or there are problems with their places; nothing throws, nothing hangs. */

const config = resolve(import.meta.dirname, "../../config");
const kinds = [
  { name: "edge", text: readFileSync(join(config, "postern.example.yaml"), "utf8"), parse: parseConfig },
  { name: "custody", text: readFileSync(join(config, "custody.example.yaml"), "utf8"), parse: parseCustodyConfig },
] as const;

function expectSense(loaded: Loaded<unknown>, text: string): void {
  if (loaded.ok) {
    expect(loaded.config).toBeTypeOf("object");
    return;
  }
  const lines = text.split("\n");
  expect(loaded.problems.length).toBeGreaterThan(0);
  for (const { line, column, message } of loaded.problems) {
    expect(message).not.toBe("");
    expect(message.length).toBeLessThan(1000);
    if (/^and \d+ more/.test(message)) continue;
    expect(line).toBeGreaterThan(0);
    expect(line).toBeLessThanOrEqual(lines.length);
    expect(column).toBeGreaterThan(0);
    // Behind the last character is where something is missing.
    expect(column).toBeLessThanOrEqual((lines[line - 1] ?? "").length + 1);
  }
}

describe.each(kinds)("$name", ({ text, parse }) => {
  test("any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (any) => expectSense(parse(any, "f", "/"), any)),
      { numRuns: 500 },
    );
  });

  test("the example with characters cut, doubled and swapped for others", () => {
    const at = fc.nat({ max: text.length - 1 });
    const edit = fc.tuple(
      at,
      fc.nat({ max: 20 }),
      fc.constantFrom(
        "",
        " ",
        "\n",
        "- ",
        ": ",
        "{",
        "]",
        "*",
        "&a ",
        "!x ",
        "'",
        '"',
        "#",
        "|\n",
        "\t",
        "0",
        "é",
        "__proto__: 1\n",
      ),
    );
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        let changed = text;
        for (const [start, length, put] of edits)
          changed = changed.slice(0, start) + put + changed.slice(start + length);
        expectSense(parse(changed, "f", "/"), changed);
      }),
      { numRuns: 500 },
    );
  });

  test("the example with values of other kinds, keys taken out and keys put in", () => {
    const paths = pathsOf(load(text), []);
    const value = fc.oneof(
      fc.constantFrom(
        null,
        true,
        -1,
        0,
        1.5,
        1e21,
        "",
        " ",
        "*",
        "x".repeat(5000),
        [],
        {},
        [[]],
        [null],
        { as: "bearer" },
        { __proto__: null, constructor: 1 },
      ),
      fc.jsonValue({ maxDepth: 2 }),
      fc.string({ unit: "binary", maxLength: 20 }),
    );
    const change = fc.record({ path: fc.constantFrom(...paths), value, how: fc.constantFrom("set", "delete", "add") });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), fc.boolean(), (changes, asJson) => {
        const document = load(text);
        for (const { path, value: next, how } of changes) apply(document, path, next, how);
        const changed = asJson ? JSON.stringify(document, null, 1) : dump(document);
        expectSense(parse(changed, "f", "/"), changed);
      }),
      { numRuns: 500 },
    );
  });
});

type Path = readonly (string | number)[];

function pathsOf(value: unknown, path: Path): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const below = Object.entries(value).flatMap(([key, child]) =>
    pathsOf(child, [...path, Array.isArray(value) ? Number(key) : key]),
  );
  return path.length === 0 ? below : [path, ...below];
}

function apply(document: unknown, path: Path, value: unknown, how: "set" | "delete" | "add"): void {
  let parent: unknown = document;
  for (const part of path.slice(0, -1)) {
    if (typeof parent !== "object" || parent === null) return;
    parent = Reflect.get(parent, part);
  }
  if (typeof parent !== "object" || parent === null) return;
  const key = path.at(-1) ?? "";
  if (how === "delete") Reflect.deleteProperty(parent, key);
  else
    Object.defineProperty(parent, how === "add" ? `${key}x` : key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
}
