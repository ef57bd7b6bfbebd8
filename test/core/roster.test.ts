import { array, assert, integer, nat, property } from "fast-check";
import { describe, expect, test } from "vitest";
import { Roster, type Seat } from "../../src/core/roster.ts";

describe("a roster", () => {
  test("holds whom a set would hold, whoever comes and goes", () => {
    assert(
      property(array(nat(40), { maxLength: 200 }), (steps) => {
        const roster = new Roster<number>();
        const seats = new Map<number, Seat>();
        for (const member of steps) {
          const seat = seats.get(member);
          if (seat === undefined) seats.set(member, roster.add(member));
          else {
            roster.delete(seat);
            seats.delete(member);
          }
          expect(roster.size).toBe(seats.size);
          expect([...roster].toSorted((a, b) => a - b)).toEqual([...seats.keys()].toSorted((a, b) => a - b));
        }
      }),
    );
  });

  test("gives a seat back once: a second time takes nobody else out", () => {
    const roster = new Roster<string>();
    const first = roster.add("first");
    roster.delete(first);
    roster.add("second");
    roster.delete(first);
    expect([...roster]).toEqual(["second"]);
  });

  test("visits everybody who stays, whoever is taken out meanwhile", () => {
    assert(
      property(integer({ min: 1, max: 20 }), array(array(nat(19), { maxLength: 4 })), (count, leaving) => {
        const roster = new Roster<number>();
        const seats = Array.from({ length: count }, (_, member) => roster.add(member));
        const staying = new Set(seats.keys());
        const visited = new Set<number>();
        let turn = 0;
        for (const member of roster) {
          visited.add(member);
          for (const other of leaving[turn++] ?? []) {
            const seat = seats[other];
            if (seat === undefined) continue;
            roster.delete(seat);
            staying.delete(other);
          }
        }
        for (const member of staying) expect(visited).toContain(member);
      }),
    );
  });

  test("whoever comes during a visit does not prolong it", () => {
    const roster = new Roster<number>();
    roster.add(0);
    let visits = 0;
    for (const member of roster) {
      visits++;
      roster.add(member + 1);
    }
    expect(visits).toBe(1);
  });
});
