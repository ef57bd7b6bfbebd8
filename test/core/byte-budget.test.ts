import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteBudget } from "../../src/core/byte-budget.ts";

/** What the edge holds for others, and that nobody is shut out by a few. */

/** As much as can be had, by halves. */
function fill(budget: ByteBudget, who: string, most: number): number {
  let taken = 0;
  for (let bytes = most; bytes >= 1; bytes = Math.floor(bytes / 2)) while (budget.take(who, bytes)) taken += bytes;
  return taken;
}

describe("one that takes all it can", () => {
  test("gets a quarter, and so does the next one", () => {
    const budget = new ByteBudget(1200);
    expect(fill(budget, "a", 1200)).toBe(300);
    expect(fill(budget, "b", 1200)).toBe(300);
  });

  test("leaves something to others, however many there are before them", () => {
    const budget = new ByteBudget(1_000_000);
    for (let i = 0; i < 8; i++) expect(fill(budget, `hostile ${i}`, 1_000_000)).toBeGreaterThan(0);
    expect(fill(budget, "another", 1_000_000)).toBeGreaterThan(10_000);
  });
});

test("what is only nice to have leaves half to what is needed, however many have it", () => {
  const budget = new ByteBudget(1_000_000);
  let spare = 0;
  for (let i = 0; i < 100; i++) while (budget.take(`nice ${i}`, 1000, true)) spare += 1000;
  expect(spare).toBeGreaterThan(400_000);
  expect(spare).toBeLessThanOrEqual(500_000);
  expect(fill(budget, "needed", 1_000_000)).toBeGreaterThan(160_000);
});

test("whatever is taken and given back, no bound is passed, and in the end nothing is held", () => {
  const step = fc.record({ who: fc.constantFrom("a", "b", "c", "d", "e"), bytes: fc.nat(400), gives: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const budget = new ByteBudget(1000);
      const held = new Map<string, number[]>();
      for (const { who, bytes, gives } of steps) {
        const mine = held.get(who) ?? [];
        held.set(who, mine);
        const last = gives ? mine.pop() : undefined;
        if (last !== undefined) budget.give(who, last);
        else if (budget.take(who, bytes)) mine.push(bytes);
        const sums = [...held.values()].map((list) => list.reduce((sum, each) => sum + each, 0));
        expect(budget.heldBytes).toBe(sums.reduce((sum, each) => sum + each, 0));
        expect(budget.heldBytes).toBeLessThanOrEqual(1000);
        expect(Math.max(0, ...sums)).toBeLessThanOrEqual(250);
      }
      for (const [who, mine] of held) for (const bytes of mine) budget.give(who, bytes);
      expect(budget.heldBytes).toBe(0);
    }),
  );
});
