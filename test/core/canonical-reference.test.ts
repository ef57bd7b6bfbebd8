import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type CanonicalReference,
  formatReference,
  grantCovers,
  parseMountGrant,
  parseReference,
} from "../../src/core/canonical-reference.ts";
import type { SourceSpec } from "../../src/core/credential.ts";
import { referenceOfSource } from "../../src/core/source-reference.ts";

const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
const anyText = fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => text.toWellFormed());
const segment = anyText.filter((text) => text !== "" && text !== "." && text !== "..");
const reference: fc.Arbitrary<CanonicalReference> = fc.record({
  provider: word,
  engine: fc.option(word),
  mount: anyText,
  path: fc.array(segment, { minLength: 1, maxLength: 5 }),
  fragment: fc.option(anyText.filter((text) => text !== "")),
  version: fc.option(fc.integer({ min: 1, max: 999_999_999_999_999 })),
});

describe("a canonical reference", () => {
  test.each<[string, Partial<CanonicalReference>]>([
    ["env:///OPENAI_API_KEY", { provider: "env", mount: "", path: ["OPENAI_API_KEY"] }],
    ["file:///run/secrets/a%20b", { provider: "file", mount: "", path: ["run", "secrets", "a b"] }],
    ["store://acme/openai", { provider: "store", mount: "acme", path: ["openai"] }],
    [
      "vault+kv2://team-a/app/db#password?version=3",
      { provider: "vault", engine: "kv2", mount: "team-a", path: ["app", "db"], fragment: "password", version: 3 },
    ],
    ["vault+kv2://team%2Fkv/app", { provider: "vault", engine: "kv2", mount: "team/kv", path: ["app"] }],
  ])("%s", (text, parts) => {
    const whole = { engine: null, fragment: null, version: null, ...parts };
    expect(parseReference(text)).toEqual(whole);
    expect(formatReference(whole as CanonicalReference)).toBe(text);
  });

  test("is what it says, both ways", () => {
    fc.assert(
      fc.property(reference, (value) => {
        const text = formatReference(value);
        expect(text).toMatch(/^[!-~]+$/);
        expect(parseReference(text)).toEqual(value);
      }),
    );
  });

  test("has one spelling: whatever parses is written back to the letter", () => {
    // Bent by a few characters that mean something.
    const bent = fc
      .tuple(reference, fc.nat(), fc.constantFrom("/", "#", "?", "%", "%2f", "%41", "..", "+", ":", "", "A", " ", "é"))
      .map(([value, at, more]) => {
        const text = formatReference(value);
        const cut = at % (text.length + 1);
        return text.slice(0, cut) + more + text.slice(cut + (at % 3));
      });
    fc.assert(
      fc.property(fc.oneof(bent, anyText), (text) => {
        const parsed = parseReference(text);
        if (parsed !== null) expect(formatReference(parsed)).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    "",
    "env",
    "env:",
    "env://",
    "env:///",
    "env://m",
    "env://m/",
    "env://m//a",
    "env://m/a/",
    "ENV:///A",
    "1env:///A",
    "+kv2://m/a",
    "vault+://m/a",
    "vault+kv2+x://m/a",
    "env:///a b",
    "env:///%61",
    "env:///%2f",
    "env:///%",
    "env:///%FF",
    "env:///a/../b",
    "env:///.",
    "env:///%2E%2E",
    "env:///a#",
    "env:///a?version=0",
    "env:///a?version=01",
    "env:///a?version=1&x=2",
    "env:///a?version=1#b",
    "env:///a?version=9999999999999999",
    "env:///a?v=1",
    "env:///a#b#c",
    " env:///a",
    "env:///a\n",
    "env:///(a)",
    "env://user@host/a'",
  ])("%j is none", (text) => {
    expect(parseReference(text)).toBeNull();
  });
});

describe("a mount grant", () => {
  const covers = (grant: string, text: string): boolean => {
    const [given, asked] = [parseMountGrant(grant), parseReference(text)];
    if (given === null || asked === null) throw new Error(`${grant} or ${text} is none`);
    return grantCovers(given, asked);
  };

  test.each([
    ["env://", "env:///A"],
    ["store://", "store:///openai"],
    ["store://acme", "store://acme/openai"],
    ["store://acme", "store://acme/team/openai"],
    ["vault+kv2://team-a", "vault+kv2://team-a/app/db#password?version=3"],
    ["file:///run/secrets/acme", "file:///run/secrets/acme/key"],
    ["file:///run/secrets/acme", "file:///run/secrets/acme"],
    ["exec:///usr/bin/mint", "exec:///usr/bin/mint#%5B%22a%22%5D"],
  ])("%s covers %s", (grant, text) => {
    expect(covers(grant, text)).toBe(true);
  });

  test.each([
    ["env://", "env://m/A"],
    ["store://", "store://acme/openai"],
    ["store://acme", "store://acme2/openai"],
    ["store://acme", "store:///acme"],
    ["store://acme", "file://acme/openai"],
    ["vault://team-a", "vault+kv2://team-a/app"],
    ["vault+kv1://team-a", "vault+kv2://team-a/app"],
    ["file:///run/secrets/acme", "file:///run/secrets/acme2/key"],
    ["file:///run/secrets/acme", "file:///run/secrets"],
    ["file:///run/secrets/acme", "file:///run/secrets/acme%2Fkey"],
    ["exec://path", "exec:///path/mint"],
  ])("%s does not cover %s", (grant, text) => {
    expect(covers(grant, text)).toBe(false);
  });

  test.each(["", "env", "env:///A#b", "env:///A?version=1", "store://acme/", "*", "store://*x y", "file:///a/../b"])(
    "%j is none",
    (text) => {
      expect(parseMountGrant(text)).toBeNull();
    },
  );

  test("of a reference's own provider, engine, mount and any part of its path covers it, and no other mount does", () => {
    fc.assert(
      fc.property(reference, fc.nat(5), segment, (value, length, other) => {
        const path = value.path.slice(0, length);
        expect(grantCovers({ ...value, path }, value)).toBe(true);
        expect(grantCovers({ ...value, path, mount: `${value.mount}x` }, value)).toBe(false);
        expect(grantCovers({ ...value, path: [...value.path, other] }, value)).toBe(false);
      }),
    );
  });
});

describe("the reference of a source", () => {
  const textOf = (source: SourceSpec): string => formatReference(referenceOfSource(source));
  const exec = (...command: string[]): SourceSpec => ({ from: "exec", command, timeoutMs: 1 });

  test.each<[SourceSpec, string]>([
    [{ from: "env", variable: "KEY" }, "env:///KEY"],
    [{ from: "file", path: "/run/secrets/k" }, "file:///run/secrets/k"],
    [{ from: "store", name: "openai" }, "store:///openai"],
    [{ from: "store", name: "acme/team/openai" }, "store://acme/team/openai"],
    [exec("/usr/bin/mint"), "exec:///usr/bin/mint"],
    [exec("mint"), "exec://path/mint"],
    [exec("/usr/bin/mint", "a", "b c"), "exec:///usr/bin/mint#%5B%22a%22%2C%22b%20c%22%5D"],
  ])("%j", (source, text) => {
    expect(textOf(source)).toBe(text);
    expect(parseReference(text)).toEqual(referenceOfSource(source));
  });

  test("tells commands apart that differ in any word", () => {
    const commands = [
      exec("/a/b"),
      exec("/a", "b"),
      exec("/a", "", "b"),
      exec("a", "b"),
      exec("/a", "b", ""),
      exec("/a/b", ""),
    ];
    expect(new Set(commands.map(textOf)).size).toBe(commands.length);
  });

  test("is written for whatever a config may hold", () => {
    for (const source of [{ from: "file", path: "/" }, { from: "file", path: "/\ud800" }, exec("..")] as SourceSpec[])
      expect(textOf(source)).toMatch(/^[a-z]+:\/\//);
  });
});
