import type { Deadlined } from "../core/deadline.ts";
import type { DenialCode } from "../core/denial.ts";
import type { Seat } from "../core/roster.ts";
import type { GuestEnvironment } from "./environment.ts";
import { GUEST_STATES, type GuestState } from "./states.ts";

/** Told when the time of a state is over. */
export interface LifeOwner {
  /** @param denial what the table says to tell the guest @param isOld the whole life is over */
  timeUp(denial: DenialCode | null, isOld: boolean): void;
}

/** Where a guest connection stands in the table of `states.ts`, and the deadline that goes with it. */
export class ConnectionLife implements Deadlined {
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly #environment: GuestEnvironment;
  readonly #endsAtMs: number;
  readonly #owner: LifeOwner;
  readonly #seat: Seat;
  #state: GuestState = "fresh";
  /** By then the guest has to have read what waits for it, whatever it sends meanwhile. */
  #readerDueMs = Number.POSITIVE_INFINITY;
  /** By then the answer has to begin: the guest closed its sending side. */
  #answerDueMs = Number.POSITIVE_INFINITY;

  /** @param endsAtMs monotonic ms at which the connection ends whatever it does */
  constructor(environment: GuestEnvironment, endsAtMs: number, owner: LifeOwner) {
    this.#environment = environment;
    this.#endsAtMs = endsAtMs;
    this.#owner = owner;
    this.#seat = environment.sweep.add(this);
    this.renew();
  }

  get state(): GuestState {
    return this.#state;
  }

  /** @throws Error for a step that is not in the table: a fault of the edge */
  enter(next: GuestState): void {
    if (!GUEST_STATES[this.#state].next.includes(next)) {
      throw new Error(`guest connection: ${this.#state} -> ${next} is not in the table`);
    }
    this.#state = next;
    // From here on the state's own time is the reader's, and it gets more as it reads.
    if (next === "delivering") this.#readerDueMs = Number.POSITIVE_INFINITY;
    if (next === "handed_over" || next === "closed") this.#environment.sweep.delete(this.#seat);
    this.renew();
  }

  /** The state's time starts anew. */
  renew(): void {
    const { timeout } = GUEST_STATES[this.#state];
    // Most steps of an exchange have no time of their own, and looking at the clock is not free.
    const dueMs = timeout === null ? Number.POSITIVE_INFINITY : this.#nowMs() + this.#environment.timeouts[timeout];
    this.deadlineMs = Math.min(dueMs, this.#readerDueMs, this.#answerDueMs, this.#endsAtMs);
  }

  /**
   * The guest has to read before its answer goes on. No other clock runs while the upstream is not read, so that nothing renews
   * this one: a guest that trickles its upload would keep its answer, and the upstream's connection, for ever.
   */
  awaitReader(): void {
    if (this.#readerDueMs === Number.POSITIVE_INFINITY) {
      this.#readerDueMs = this.#nowMs() + this.#environment.timeouts.bodyIdleMs;
    }
    this.renew();
  }

  /** It has read all that there was. */
  readerCame(): void {
    this.#readerDueMs = Number.POSITIVE_INFINITY;
    this.renew();
  }

  /** The guest sends no more: it may wait for its answer, or have left. No state on the way there gives it more time. */
  halfClosed(): void {
    this.#answerDueMs = this.#nowMs() + this.#environment.timeouts.halfCloseMs;
    this.renew();
  }

  /** The answer has begun: a guest that closed its sending side is there to read it. */
  answerBegan(): void {
    this.#answerDueMs = Number.POSITIVE_INFINITY;
    this.renew();
  }

  onDeadline(nowMs: number): void {
    this.#owner.timeUp(GUEST_STATES[this.#state].onTimeout, nowMs >= this.#endsAtMs);
  }

  #nowMs(): number {
    return this.#environment.line.clock.monotonicMs();
  }
}
