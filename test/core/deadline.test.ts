import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { type Deadlined, DeadlineSweep } from "../../src/core/deadline.ts";

test("of many whose time is up at once few are told in one turn, each of them once, and nobody before its time", async () => {
  const sweep = new DeadlineSweep();
  const told: number[] = [];
  const memberDue = (deadlineMs: number, i: number): Deadlined => ({ deadlineMs, onDeadline: () => void told.push(i) });
  for (let i = 0; i < 100; i++) sweep.add(memberDue(10, i));
  sweep.add(memberDue(11, 100));
  sweep.sweep(10);
  const inOneTurn = told.length;
  expect(inOneTurn).toBeGreaterThan(0);
  expect(inOneTurn).toBeLessThan(10);
  let turns = 1;
  for (let before = 0; told.length > before; turns++) {
    before = told.length;
    // The next tick comes before they are through.
    sweep.sweep(10);
    await turn();
    expect(told.length - before).toBeLessThanOrEqual(inOneTurn);
  }
  expect(turns).toBeGreaterThan(10);
  expect(told.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
});

test("whoever is due again at once keeps nobody else from being told", async () => {
  const sweep = new DeadlineSweep();
  let told = 0;
  sweep.add({ deadlineMs: 1, onDeadline: () => void told++ });
  for (let i = 0; i < 20; i++) {
    const member: Deadlined = {
      deadlineMs: 1,
      onDeadline: () => {
        member.deadlineMs = 1;
      },
    };
    sweep.add(member);
  }
  sweep.sweep(1);
  for (let i = 0; i < 10; i++) await turn();
  expect(told).toBe(1);
});

test("whoever leaves while others wait for their turn is not told", async () => {
  const sweep = new DeadlineSweep();
  const told = new Set<number>();
  const seats = Array.from({ length: 50 }, (_, i) => sweep.add({ deadlineMs: 1, onDeadline: () => void told.add(i) }));
  sweep.sweep(1);
  const left = seats.filter((_, i) => !told.has(i));
  expect(left).not.toEqual([]);
  for (const seat of left) sweep.delete(seat);
  const before = told.size;
  for (let i = 0; i < 10; i++) await turn();
  expect(told.size).toBe(before);
  expect(sweep.size).toBe(before);
});
