import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { DENIALS, DENIAL_CODES, type DenialCode } from "../../src/core/denial.ts";

/** docs/denials.md and the table of core/denial.ts are one list. */

const root = resolve(import.meta.dirname, "../..");
const page = await readFile(join(root, "docs/denials.md"), "utf8");
const sections = new Map(
  page
    .split(/^### /m)
    .slice(1)
    .map((section) => {
      const end = section.indexOf("\n");
      return [section.slice(0, end), section.slice(end).split(/^## /m)[0] as string];
    }),
);

describe("docs/denials.md", () => {
  test("has one heading for each code, in the table's order, and no other", () => {
    expect([...sections.keys()]).toEqual(DENIAL_CODES);
  });

  test.each(DENIAL_CODES)(
    "%s: status, proxy-status and text are the table's; meaning and next step are there",
    (code) => {
      const { status, proxyStatus, text } = DENIALS[code];
      const section = sections.get(code) ?? "";
      expect(section).toContain(`\`${status}\`, \`${proxyStatus}\`. The guest reads: "${text}"`);
      expect(section).toMatch(/\*\*Means:\*\* \S.{30,}/);
      expect(section).toMatch(/\*\*Next:\*\* \S.{20,}/);
    },
  );

  test("stages follow the table", () => {
    const stages = [...page.matchAll(/^## .*\(`(\w+)`\)$/gm)].map((match) => match[1]);
    expect(stages).toEqual([...new Set(DENIAL_CODES.map((code) => DENIALS[code].stage))]);
  });

  test("says reserved of exactly the codes that no stage refuses with", async () => {
    const sources = await readSources();
    const reserved = (code: DenialCode): boolean => (sections.get(code) ?? "").includes("*Reserved.*");
    const thrown = (code: DenialCode): boolean => sources.some((text) => text.includes(`new Denial("${code}"`));
    const named = (code: DenialCode): boolean => sources.some((text) => text.includes(`"${code}"`));
    expect(DENIAL_CODES.filter((code) => reserved(code) && thrown(code))).toEqual([]);
    expect(DENIAL_CODES.filter((code) => !reserved(code) && !named(code))).toEqual([]);
  });
});

async function readSources(): Promise<string[]> {
  const files = await readdir(join(root, "src"), { recursive: true });
  const modules = files.filter((file) => file.endsWith(".ts") && !file.startsWith("core/"));
  return Promise.all(modules.map((file) => readFile(join(root, "src", file), "utf8")));
}
