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

/** Of those whose deadline has passed: each may end an exchange, with its connections, and everybody else waits meanwhile. */
const MOST_A_TURN = 8;

export class DeadlineSweep {
  readonly #members = new Roster<Deadlined>();
  /** More are due, and their turn comes. */
  #isGoingOn = false;

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

  /**
   * Calls every member whose deadline has passed, so many in this turn of the event loop and so many in each that follows; its deadline
   * is cleared first, so that it fires once.
   */
  sweep(nowMs: number): void {
    if (!this.#isGoingOn) this.#goOn(this.#members[Symbol.iterator](), nowMs);
  }

  /** Where it stopped: whoever is due again at once waits for the next sweep, and keeps nobody from being called. */
  #goOn(members: Iterator<Deadlined>, nowMs: number): void {
    this.#isGoingOn = false;
    let left = MOST_A_TURN;
    for (let next = members.next(); next.done !== true; next = members.next()) {
      const member = next.value;
      if (member.deadlineMs > nowMs) continue;
      member.deadlineMs = Number.POSITIVE_INFINITY;
      member.onDeadline(nowMs);
      if (--left > 0) continue;
      this.#isGoingOn = true;
      setImmediate(() => this.#goOn(members, nowMs));
      return;
    }
  }
}
