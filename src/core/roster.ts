/** A member's place in a roster: what it is taken out by. */
export interface Seat {
  /** -1: it was taken out. */
  index: number;
}

/**
 * Who is here, in no order, for members that come and go thousands of times a second. A `Set` would do, and costs a garbage
 * collector dearly: each time its table is rebuilt, V8 links the old table, with whoever was in it, to the new one. Once a
 * table is old enough for the old generation, all that follow are kept until the whole heap is marked, and a connection of a
 * millisecond with them: a third of all that was allocated for short connections ended there.
 */
export class Roster<T> {
  readonly #members: T[] = [];
  readonly #seats: Seat[] = [];

  get size(): number {
    return this.#members.length;
  }

  add(member: T): Seat {
    const seat: Seat = { index: this.#members.length };
    this.#members.push(member);
    this.#seats.push(seat);
    return seat;
  }

  /** A second time changes nothing. */
  delete(seat: Seat): void {
    const { index } = seat;
    if (index < 0) return;
    seat.index = -1;
    const member = this.#members.pop() as T;
    const last = this.#seats.pop() as Seat;
    if (last === seat) return;
    this.#members[index] = member;
    this.#seats[index] = last;
    last.index = index;
  }

  /**
   * Every member that is here for the whole of it, at least once; whoever is called may add and delete. From the end: what takes
   * the place of a deleted one has been visited before.
   */
  *[Symbol.iterator](): Generator<T, void> {
    for (let i = this.#members.length - 1; i >= 0; i--) if (i < this.#members.length) yield this.#members[i] as T;
  }
}
