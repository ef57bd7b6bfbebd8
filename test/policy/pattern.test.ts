import * as fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { PathPattern, TextPattern } from "../../src/policy/pattern.ts";
import { globMatches, pathMatches } from "./plain-matcher.ts";

describe("text patterns", () => {
  test.each([
    ["*", "", true],
    ["*", "anything", true],
    ["gpt-*", "gpt-4", true],
    ["gpt-*", "gpt-", true],
    ["gpt-*", "GPT-4", false],
    ["*-mini", "gpt-4-mini", true],
    ["a*b*c", "abc", true],
    ["a*b*c", "acb", false],
    ["ab*ba", "aba", false],
    ["a**b", "ab", true],
    ["", "", true],
    ["", "a", false],
    ["a.c", "abc", false],
    ["application/json*", "application/json; charset=utf-8", true],
    ["caf\u00e9", "caf\u00c3\u00a9", true],
  ])("%j and %j: %s", (pattern, text, expected) => {
    expect(new TextPattern(pattern).matches(text)).toBe(expected);
  });

  test("agree with the plainest matcher", () => {
    const small = fc.array(fc.constantFrom("a", "b", "*"), { maxLength: 8 }).map((parts) => parts.join(""));
    const text = fc.array(fc.constantFrom("a", "b"), { maxLength: 12 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(small, text, (pattern, value) => {
        expect(new TextPattern(pattern).matches(value)).toBe(globMatches(pattern, value));
      }),
      { numRuns: 5000 },
    );
  });
});

describe("path patterns", () => {
  test.each([
    ["/", "/", true],
    ["/", "/a", false],
    ["/**", "/", true],
    ["/**", "/a/b/", true],
    ["/v1/**", "/v1", true],
    ["/v1/**", "/v1/", true],
    ["/v1/**", "/v1/a/b", true],
    ["/v1/**", "/v1x", false],
    ["/v1/**", "/v", false],
    ["/v1/*", "/v1/a", true],
    ["/v1/*", "/v1/", false],
    ["/v1/*", "/v1", false],
    ["/v1/*", "/v1/a/b", false],
    ["/v1/a*", "/v1/a", true],
    ["/v1/*.json", "/v1/x.json", true],
    ["/v1/*.json", "/v1/x/y.json", false],
    ["/*/issues", "/repo/issues", true],
    ["/**/issues", "/issues", true],
    ["/**/issues", "/a/b/issues", true],
    ["/**/issues", "/a/b/issues/", false],
    ["/a/**/b/**/c", "/a/b/c", true],
    ["/a/**/b/**/c", "/a/x/b/y/z/c", true],
    ["/a/**/b/**/c", "/a/c/b", false],
    ["/a/**/a", "/a", false],
    ["/a/**/**", "/a", true],
    ["/a/**/**", "/", false],
    ["/a*/**/**", "/ab", true],
    ["/v1/models/*:generate", "/v1/models/x:generate", true],
    ["/v1/models/*:generate", "/v1/models/x:delete", false],
  ])("%j and %j: %s", (pattern, path, expected) => {
    expect(new PathPattern(pattern).matches(path)).toBe(expected);
  });

  test("agree with the plainest matcher", () => {
    const segment = fc.constantFrom("a", "b", "ab", "*", "**", "a*", "*b", "*a*", "");
    const pattern = fc.array(segment, { minLength: 1, maxLength: 6 }).map((parts) => `/${parts.join("/")}`);
    const path = fc
      .array(fc.constantFrom("a", "b", "ab", "aab", "ba", ""), { minLength: 1, maxLength: 7 })
      .map((parts) => `/${parts.join("/")}`);
    fc.assert(
      fc.property(pattern, path, (source, value) => {
        expect(new PathPattern(source).matches(value)).toBe(pathMatches(source, value));
      }),
      { numRuns: 20_000 },
    );
  });

  test("only /** matches every path", () => {
    expect(new PathPattern("/**").isAny).toBe(true);
    for (const source of ["/", "/*", "/a/**", "/**/a", "/*/**"]) expect(new PathPattern(source).isAny).toBe(false);
  });
});

/** A matcher that back-tracks over stars would need a power of this. */
describe("searches are bounded by pattern length times number of segments", () => {
  const many = 4000;

  test.each([
    ["*a".repeat(30), `${"a".repeat(many)}b`],
    [`${"a*".repeat(30)}b`, "a".repeat(many)],
    ["*aaaa*aaaa*aaaa*b", "a".repeat(many)],
  ])("text pattern %#", (source, text) => {
    const pattern = new TextPattern(source);
    expect(searches(() => pattern.matches(text))).toBeLessThanOrEqual(source.length);
  });

  test.each([
    ["/**/a/**/a/**/a/**/a/**/b/**/c", "/a".repeat(many)],
    ["/**/*a/*a/*a/*a/b/**/c", "/a".repeat(many)],
    ["/**/*a*a*a/**/*b*/**/c", "/aaaa".repeat(many)],
  ])("path pattern %#", (source, path) => {
    const pattern = new PathPattern(source);
    expect(searches(() => pattern.matches(path))).toBeLessThanOrEqual(source.length * many);
  });
});

/** Searches made by a match that fails; each is one native pass over a text. */
function searches(match: () => boolean): number {
  const spies = (["indexOf", "startsWith", "endsWith"] as const).map((name) => vi.spyOn(String.prototype, name));
  try {
    const matched = match();
    const calls = spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
    expect(matched).toBe(false);
    return calls;
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
