import * as fc from "fast-check";
import { dump, load, YAMLException } from "js-yaml";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../src/config/load.ts";
import { longList } from "../../src/config/long-list.ts";
import { problemLine } from "../../src/config/problem.ts";
import { ALL, edgeFile } from "./support/edge-file.ts";

/** Reading in pieces is a quicker way to the same value, or it is not taken. */

/** Enough text in front for the quick way to be taken: a comment is part of no value. */
const PADDING = `# ${"-".repeat(100)}\n`.repeat(2100);

/** `null` where the quick way is not taken. */
function inPieces(text: string): unknown {
  const file = longList(text, "destinations");
  try {
    return file === null
      ? null
      : { ...file.rest, destinations: [...file.items].flatMap((text) => load(text) as unknown[]) };
  } catch (error) {
    if (error instanceof YAMLException) return null;
    throw error;
  }
}

/** Short items, so that borders between pieces fall everywhere; long ones, so that there are borders. */
const scalar = fc.oneof(
  fc.string({ maxLength: 30 }),
  fc.constantFrom("- a", "  - b\n  - c", "x\n\n", "destinations:\n  - z", "---", "#", ": ", "a\n  - b\n", "'", '"'),
  fc.integer(),
  fc.constant("y".repeat(3000)),
  fc.constant("  - name: z\n".repeat(400)),
);
const item = fc.oneof(
  scalar,
  fc.dictionary(fc.string({ maxLength: 8 }), fc.oneof(scalar, fc.array(scalar, { maxLength: 3 }))),
  fc.array(scalar, { maxLength: 3 }),
);

describe("pieces", () => {
  test("make up the same value as the whole", () => {
    let taken = 0;
    fc.assert(
      fc.property(
        fc.array(item, { minLength: 1, maxLength: 60 }),
        fc.record({
          seqNoIndent: fc.boolean(),
          flowLevel: fc.constantFrom(-1, 2, 3),
          forceQuotes: fc.boolean(),
          lineWidth: fc.constantFrom(-1, 40),
        }),
        fc.dictionary(fc.stringMatching(/^[a-c]$/), scalar),
        fc.boolean(),
        fc.boolean(),
        (items, options, others, windows, comments) => {
          const before = dump({ first: others }, { noRefs: true });
          const list = dump({ destinations: items }, { noRefs: true, ...options });
          const commented = list.replaceAll(/^(?= *- )/gm, comments ? "# - at the margin\n\n" : "");
          const text = PADDING + before + commented + dump({ last: others }, { noRefs: true });
          const spelled = windows ? text.replaceAll("\n", "\r\n") : text;
          const value = inPieces(spelled);
          if (value === null) return;
          taken++;
          expect(value).toEqual(load(spelled));
        },
      ),
      { numRuns: 300 },
    );
    // Else this tests nothing.
    expect(taken).toBeGreaterThan(100);
  });

  test.each([
    ["an alias", `a: &a 1\n${PADDING}destinations:\n  - *a\n`],
    ["an unclosed list", `${PADDING}destinations:\n  - [1\n  - 2]\n`],
    ["a second document", `${PADDING}destinations:\n  - 1\n---\n  - 2\n`],
    ["a directive", `%TAG !! tag:example.org,2026:\n---\n${PADDING}destinations:\n  - !!str 1\n`],
    ["a scalar document", `--- |\n${PADDING}destinations:\n  - 1\n`],
  ])("are not taken for %s", (_, text) => {
    expect(inPieces(text)).toBeNull();
  });

  test.each(["\u2028", "\u2029", "\u0085", "\v", "\f"])("a comment with %j in it is a comment to its end", (mark) => {
    const text = `${PADDING}destinations:\n  - 1 # a${mark}b: 1\n  # c${mark}d: 2\n  - 3\nlast: 4\n`;
    const read = (): unknown => load(text);
    // What YAML does not allow at all is read whole, and refused there.
    if (inPieces(text) === null) expect(read).toThrow(YAMLException);
    else expect(inPieces(text)).toEqual(read());
  });

  test("a short text is read whole", () => {
    expect(longList("destinations:\n  - 1\n", "destinations")).toBeNull();
  });
});

describe("100,000 destinations", () => {
  const entry = (i: number): string =>
    `  - name: d${i}\n    host: h${i}.example.com\n    allow:\n      - methods: [GET, HEAD]\n        paths: ["/v1/**"]\n`;
  const list = Array.from({ length: 100_000 }, (_, i) => entry(i)).join("");

  test("load", () => {
    const loaded = parseConfig(edgeFile({ destinations: `destinations:\n${list}` }), "f", "/");
    expect(loaded.ok && loaded.config.destinations.length).toBe(100_000);
    expect(loaded.ok && loaded.config.destinations[99_999]?.host).toEqual({
      kind: "exact",
      host: "h99999.example.com",
    });
  });

  test("the last of many is wrong, and told with its line", () => {
    const many = Array.from({ length: 10_000 }, (_, i) => entry(i)).join("");
    const text = edgeFile({ destinations: `destinations:\n${many}  - { name: d5, host: H.com, ${ALL} }` });
    const loaded = parseConfig(text, "f", "/");
    const line = text.split("\n").findIndex((one) => one.includes("H.com")) + 1;
    expect(loaded.ok ? [] : loaded.problems.map(problemLine)).toEqual([
      `f:${line}:13: destinations[10000].name: "d5": destinations[5] has this name: write a different one`,
      `f:${line}:23: destinations[10000].host: "H.com": write "h.com"`,
    ]);
  });
});
