import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";

/** docs/decisions: numbered pages of one shape, each in the list. */

const folder = resolve(import.meta.dirname, "../../docs/decisions");
const pages = (await readdir(folder)).filter((name) => name !== "README.md").toSorted();
const list = await readFile(join(folder, "README.md"), "utf8");

describe("docs/decisions", () => {
  test("numbers are given once and without a gap", () => {
    expect(pages.map((name) => name.slice(0, 4))).toEqual(pages.map((_, i) => String(i + 1).padStart(4, "0")));
  });

  test.each(pages)("%s is listed and says context, choice, what was measured, what would change it", async (name) => {
    const text = await readFile(join(folder, name), "utf8");
    expect(list).toContain(`(${name})`);
    expect(text).toMatch(new RegExp(`^# ${name.slice(0, 4)}: \\S`));
    const headings = text.match(/^## .*$/gm);
    expect(headings).toEqual(["## Context", "## Choice", "## What was measured", "## What would change it"]);
  });

  test("the list has no page that is not there", () => {
    const listed = [...list.matchAll(/\((\d{4}-[\w-]+\.md)\)/g)].map((match) => match[1] ?? "");
    expect(listed.filter((name) => !pages.includes(name))).toEqual([]);
  });
});
