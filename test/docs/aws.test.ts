import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { DENIAL_CODES } from "../../src/core/denial.ts";
import { edgeFile, problemsOf } from "../config/support/edge-file.ts";

/** docs/aws.md: its snippets are configs, and its names are denials. */

const page = await readFile(join(resolve(import.meta.dirname, "../.."), "docs/aws.md"), "utf8");
const snippets = [...page.matchAll(/```yaml\n([^]*?)```/g)].map((match) => match[1] as string);

test("there are examples", () => {
  expect(snippets.length).toBeGreaterThan(1);
});

test.each(snippets)("a config that loads: %#", (snippet) => {
  expect(problemsOf(edgeFile({ custody: null, destinations: null, more: snippet }))).toEqual([]);
});

describe("what is refused", () => {
  const [, table = ""] = /## What is refused\n([^]*?)\n## /.exec(page) ?? [];
  const named = [...table.matchAll(/\[`([a-z_]+)`\]\(denials\.md#([a-z_]+)\)/g)];

  test("each line has the name of a denial", () => {
    const lines = table.split("\n").filter((line) => line.startsWith("| ") && !/^\| (---|what )/.test(line));
    expect(named).toHaveLength(lines.length);
    for (const [, text, anchor] of named) {
      expect(anchor).toBe(text);
      expect(DENIAL_CODES).toContain(text);
    }
  });
});
