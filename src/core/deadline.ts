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
  readonly #members = new Set<Deadlined>();

  add(member: Deadlined): void {
    this.#members.add(member);
  }

  delete(member: Deadlined): void {
    this.#members.delete(member);
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
