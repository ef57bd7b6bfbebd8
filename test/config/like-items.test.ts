import * as fc from "fast-check";
import { dump, load, YAMLException } from "js-yaml";
import { describe, expect, test } from "vitest";
import { LikeItems } from "../../src/config/like-items.ts";
import { parseConfig } from "../../src/config/load.ts";
import { edgeFile } from "./support/edge-file.ts";

/** What is read by its likeness to another item is what the parser reads. */

interface Item {
  readonly name: string;
  readonly host: string;
}

/** Anything that has two texts, told apart from what has not: a value is never changed on its way. */
function taken(value: unknown): (Item & Record<string, unknown>) | null {
  const item = value as Record<string, unknown> | null;
  return typeof item === "object" && typeof item?.["name"] === "string" && typeof item["host"] === "string"
    ? (item as Item & Record<string, unknown>)
    : null;
}

function reader(): LikeItems<Item & Record<string, unknown>> {
  return new LikeItems({ item: taken, own: (own) => own });
}

/** `undefined` where the text is no YAML. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof YAMLException) return undefined;
    throw error;
  }
}

function whole(text: string): unknown {
  const items = load(text, { maxAliases: 0 });
  if (!Array.isArray(items) || items.length !== 1) throw new YAMLException("not one item");
  return taken(items[0]);
}

const word = fc.oneof(
  fc.stringMatching(/^[a-z][a-z0-9.-]{0,8}$/),
  fc.constantFrom(
    "null",
    "True",
    "no",
    "y",
    "1.5",
    "0x1f",
    "1e3",
    "2026-11-26",
    "10.0.0.0/8",
    "1.2.3.4",
    ".inf",
    "~",
    "",
  ),
  fc.constantFrom(
    '"*.a.b"',
    '"a\\tb"',
    "'a''b'",
    "*a",
    "&a b",
    "!!str 1",
    "a b",
    "a # b",
    "a: b",
    "|",
    ">-",
    "[a]",
    "{}",
  ),
);
const line = fc.oneof(
  fc.tuple(fc.constantFrom("name", "host", "other", '"name"', "Name"), word).map(([key, text]) => `${key}: ${text}`),
  fc.constantFrom(
    "text: |",
    'text: "',
    "text: '",
    '"',
    "'",
    "nested:",
    "# name: c",
    "",
    "- name: d",
    "text: a",
    "b",
    "&x",
    "}",
  ),
);
const indented = fc.tuple(fc.constantFrom(0, 2, 2, 2, 4), line).map(([depth, text]) => " ".repeat(depth) + text);
/** A name and a host somewhere among the rest, in either order. */
const itemText = fc
  .tuple(
    fc.array(indented, { maxLength: 2 }),
    word.map((text) => `  name: ${text}`),
    fc.array(indented, { maxLength: 1 }),
    word.map((text) => `  host: ${text}`),
    fc.array(indented, { maxLength: 2 }),
    fc.boolean(),
    fc.constantFrom("\n", "\n", "\r\n"),
  )
  .map(([before, name, between, host, after, hostFirst, end]) => {
    const lines = [...before, hostFirst ? host : name, ...between, hostFirst ? name : host, ...after, ""];
    return lines.join(end).replace(/^ {0,2}/, "- ");
  });

describe("an item", () => {
  test("is what the parser reads, whatever was read before it", () => {
    let named = 0;
    fc.assert(
      fc.property(fc.array(itemText, { minLength: 1, maxLength: 8 }), (texts) => {
        const items = reader();
        for (const text of texts) {
          const expected = attempt(() => whole(text));
          expect(
            attempt(() => items.read(text)),
            JSON.stringify(text),
          ).toEqual(expected);
          if (expected !== null && expected !== undefined) named++;
        }
      }),
      { numRuns: 3000 },
    );
    // Else this tests nothing.
    expect(named).toBeGreaterThan(300);
  });

  test("that is like another shares all but name and host with it", () => {
    const items = reader();
    const text = (name: string, host: string): string =>
      dump([{ name, port: 443, host, allow: [{ methods: ["GET"], paths: ["/**"] }] }]);
    const one = items.read(text("a", "a.example.com"));
    const other = items.read(text("b", "*.example.com").replaceAll("'", '"'));
    expect(one).toEqual({ name: "a", port: 443, host: "a.example.com", allow: [{ methods: ["GET"], paths: ["/**"] }] });
    expect(other).toEqual({ ...one, name: "b", host: "*.example.com" });
    expect(other?.["allow"]).toBe(one?.["allow"]);
  });

  test.each([
    ["in a block scalar", "- text: |\n    name: a\n    host: b\n  name: c\n  host: d\n"],
    ["in a quoted text", '- text: "\n    name: a\n    host: b"\n  name: c\n  host: d\n'],
    ["of a nested mapping", "- in:\n    name: a\n    host: b\n  name: c\n  host: d\n"],
    ["continued on the next line", "- name: a\n    b\n  host: d\n"],
    ["that are no texts", "- name: null\n  host: true\n"],
    ["with a comment", "- name: a # b\n  host: c\n"],
  ])("with lines %s", (_, text) => {
    const items = reader();
    const expected = whole(text);
    expect(items.read(text)).toEqual(expected);
    expect(items.read(text)).toEqual(expected);
  });

  test("that has a key twice is no YAML, however often it comes", () => {
    const items = reader();
    const text = "- name: a\n  name: b\n  host: c\n";
    expect(() => items.read(text)).toThrow(YAMLException);
    expect(() => items.read(text)).toThrow(YAMLException);
  });
});

describe("a long list of a config", () => {
  const item = (i: number, body: string): string => `  - name: d${i}\n    host: h${i}.example.com\n${body}`;
  const open = '    allow:\n      - { methods: [GET], paths: ["/**"] }\n';
  const narrow =
    "    scheme: http\n    port: 8080\n    allow: [{ methods: [POST], paths: [/a] }]\n    drop_headers: [X-A]\n";
  const passed = "    tls: passthrough\n";
  const bodies = [open, narrow, passed, open.replace("GET", '"*"')];
  const list = Array.from({ length: 8000 }, (_, i) => item(i, bodies[(i >> 2) % 4] as string));

  function destinations(text: string): unknown {
    const loaded = parseConfig(edgeFile({ destinations: `destinations:\n${text}` }), "f", "/");
    return loaded.ok ? loaded.config.destinations : loaded.problems;
  }

  test("says of each destination what it says in a short one", () => {
    const long = destinations(list.join("")) as readonly unknown[];
    for (const from of [0, 1000, 7990])
      expect(long.slice(from, from + 8)).toEqual(destinations(list.slice(from, from + 8).join("")));
  });

  test.each([
    ["a host that is no host", item(9000, open).replace("h9000", "H9000")],
    ["a name that another has", item(9000, open).replace("d9000", "d1")],
    ["a host that another has", item(9000, open).replace("h9000", "h0")],
    ["a name that looks like a key", item(9000, open).replace("d9000", `ghp_${"a1B2".repeat(9)}`)],
  ])("is read whole for %s among entries that are alike", (_, wrong) => {
    const problems = (items: readonly string[]): unknown[] => {
      const found = destinations([...items, wrong].join("")) as { line: number; message: string }[];
      return found.map(({ line, message }) => [line - items.join("").split("\n").length, message]);
    };
    expect(problems(list)).toHaveLength(1);
    expect(problems(list)).toEqual(problems(list.slice(0, 8)));
  });
});
