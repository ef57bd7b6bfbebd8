import { Roster, type Seat } from "./roster.ts";

/**
 * Deadlines without a timer each: whoever has one keeps a number, and one sweep a tick looks at all of them. Writing a
 * number costs nothing, so that every state can set its own.
 */
export interface Deadlined {
  /** Monotonic ms; `Infinity` for none. */
  deadlineMs: number;
  onDeadline(nowMs: number): void;
}

export class DeadlineSweep {
  readonly #members = new Roster<Deadlined>();

  /** @returns to be given back by whoever has no deadline any more */
  add(member: Deadlined): Seat {
    return this.#members.add(member);
  }

  delete(seat: Seat): void {
    this.#members.delete(seat);
  }

  get size(): number {
    return this.#members.size;
  }

  /** Calls every member whose deadline has passed; its deadline is cleared first, so that it fires once. */
  sweep(nowMs: number): void {
    for (const member of this.#members) {
      if (member.deadlineMs > nowMs) continue;
      member.deadlineMs = Number.POSITIVE_INFINITY;
      member.onDeadline(nowMs);
    }
  }
}
