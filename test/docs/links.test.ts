import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";

/** Pages for readers: every link leads to a file, and to a heading of it; docs/README.md has every page. */

const root = resolve(import.meta.dirname, "../..");
const pages = globSync(["README.md", "{docs,deploy,src,bench}/**/*.md"], { cwd: root }).toSorted();

/** Anchors as GitHub makes them: small letters, blanks to dashes, all other marks left out; one that comes again is counted. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of withoutCode(text).matchAll(/^#{1,6} (.+)$/gm)) {
    const base = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-");
    let anchor = base;
    for (let i = 1; anchors.has(anchor); i++) anchor = `${base}-${i}`;
    anchors.add(anchor);
  }
  return anchors;
}

function withoutCode(text: string): string {
  return text.replaceAll(/^ *```[^]*?^ *```$/gm, "");
}

function brokenLinksOf(page: string): string[] {
  const text = withoutCode(readFileSync(join(root, page), "utf8")).replaceAll(/`[^`\n]*`(?!\])/g, "");
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = ""]) => {
    if (/^https?:/.test(link)) return [];
    const [path = "", anchor] = link.split("#");
    const file = path === "" ? join(root, page) : resolve(root, dirname(page), path);
    if (!existsSync(file)) return [link];
    if (anchor === undefined || statSync(file).isDirectory()) return [];
    return anchorsOf(readFileSync(file, "utf8")).has(anchor) ? [] : [link];
  });
}

describe("links", () => {
  test.each(pages)("of %s lead somewhere", (page) => {
    expect(brokenLinksOf(page)).toEqual([]);
  });
});

test("docs/README.md lists every page of docs", () => {
  const index = readFileSync(join(root, "docs/README.md"), "utf8");
  const files = globSync("*.{md,yaml}", { cwd: join(root, "docs") }).filter((name) => name !== "README.md");
  expect(files.filter((name) => !index.includes(`(${name})`))).toEqual([]);
});
