import { expect, test } from "vitest";
import { SuffixTable, suffixHash } from "../../src/policy/suffix-table.ts";

/** Two suffixes of one hash: what a guest would have to look for. */
function colliding(): readonly [string, string] {
  const byHash = new Map<number, string>();
  for (let i = 0; i < 1_000_000; i++) {
    const suffix = `${(Math.imul(i, 0x9e3779b1) >>> 0).toString(2)}.org`;
    const hash = suffixHash(suffix);
    const other = byHash.get(hash);
    if (other !== undefined) return [other, suffix];
    byHash.set(hash, suffix);
  }
  throw new Error("no collision found");
}

const [first, second] = colliding();

test("suffixes of one hash are told apart", () => {
  const table = new SuffixTable<string>();
  expect(table.add(first, first)).toBeNull();
  expect(table.add(second, second)).toBeNull();
  expect(table.add(first, "again")).toBe(first);
  expect(table.add(second, "again")).toBe(second);
  expect(table.find(`a.${first}`)).toBe(first);
  expect(table.find(`a.b.${second}`)).toBe(second);
  expect(table.find(first)).toBeNull();
});

test("a name whose suffix has only the hash of another is not below it", () => {
  const table = new SuffixTable<string>();
  table.add("org", "org");
  table.add(first, first);
  expect(table.find(`a.${second}`)).toBe("org");
  expect(table.find(`a.${first}`)).toBe(first);
});
