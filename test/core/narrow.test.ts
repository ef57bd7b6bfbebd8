import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LeaseRefusal } from "../../src/core/custody.ts";
import { canonicalNarrowing, narrowKey, type Narrowing, outsideOf } from "../../src/core/narrow.ts";
import { narrowedList } from "../../src/custody/minters/narrowed-list.ts";

const name = fc.constantFrom("scopes", "audiences", "repositories", "constructor", "toString", "hasOwnProperty");
const value = fc.constantFrom("a", "b", "c", "a b", "", "__proto__", "A");
const lists = fc.dictionary(name, fc.array(value, { maxLength: 4 }));

function permuted(narrow: Narrowing, flip: boolean): Narrowing {
  const order = <T>(list: readonly T[]): T[] => (flip ? list.toReversed() : [...list]);
  return Object.fromEntries(
    order(Object.entries(narrow)).map(([key, values]) => [key, [...order(values), ...values.slice(0, 1)]]),
  );
}

describe("narrowing", () => {
  test("never lets through what is in no list of the entry", () => {
    fc.assert(
      fc.property(lists, lists, (own, narrow) => {
        const within = Object.entries(narrow).every(
          ([key, values]) =>
            values.length > 0 && values.every((one) => Object.hasOwn(own, key) && (own[key] ?? []).includes(one)),
        );
        expect(outsideOf(own, narrow) === null).toBe(within);
      }),
      { numRuns: 2_000 },
    );
  });

  test("is never more than the entry, and never less than what was asked for", () => {
    fc.assert(
      fc.property(fc.array(value, { maxLength: 5 }), lists, (own, narrow) => {
        let got: readonly string[];
        try {
          got = narrowedList("scopes", own, narrow);
        } catch (error) {
          expect(error).toBeInstanceOf(LeaseRefusal);
          return;
        }
        const all: readonly string[] = own;
        expect(got.every((one) => all.includes(one))).toBe(true);
        expect(got).toEqual(Object.hasOwn(narrow, "scopes") ? narrow["scopes"] : own);
      }),
      { numRuns: 2_000 },
    );
  });

  test("narrowed twice is within what it was narrowed to once", () => {
    fc.assert(
      fc.property(lists, lists, lists, (own, first, second) => {
        if (outsideOf(own, first) !== null || outsideOf(first, second) !== null) return;
        expect(outsideOf(own, second)).toBeNull();
      }),
    );
  });

  test("has one key for all that mean the same, and another for all that do not", () => {
    const sets = (narrow: Narrowing): unknown =>
      Object.entries(narrow)
        .map(([key, values]) => [key, [...new Set(values)].toSorted()] as const)
        .toSorted(([a], [b]) => (a < b ? -1 : 1));
    fc.assert(
      fc.property(lists, lists, fc.boolean(), (one, other, flip) => {
        expect(narrowKey(permuted(one, flip))).toBe(narrowKey(one));
        expect(narrowKey(canonicalNarrowing(one))).toBe(narrowKey(one));
        expect(narrowKey(one) === narrowKey(other)).toBe(JSON.stringify(sets(one)) === JSON.stringify(sets(other)));
      }),
      { numRuns: 2_000 },
    );
    expect(narrowKey(undefined)).toBe("");
  });
});
