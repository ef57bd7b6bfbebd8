import { BEGIN_A_TURN } from "./http2/begin-turns.ts";

/**
 * Requests of all connections of a listener that follow another one without having been waited for, in one turn of the event loop.
 * Eight for each of two thousand connections would keep everybody else waiting for half a second.
 */
const FOLLOW_A_TURN = 64;

/** A connection that may have to wait until it goes on with what it has read. */
export interface TurnOwner {
  /** Its turn has come; never throws. */
  goOn(): void;
}

/**
 * Whose turn it is among the HTTP/1.1 connections of a listener. A segment holds a thousand pipelined requests, and those that are
 * answered without waiting for anybody (every refusal) would run one after the other before anything else is read: one guest
 * with a hundred connections kept all others, and the health checks, waiting for many seconds. Nothing is scheduled for a
 * connection whose requests an upstream answers: each has a turn of its own.
 */
export class PipelineTurns {
  readonly #waiting: TurnOwner[] = [];
  #spent: TurnShare[] = [];
  #followersLeft = FOLLOW_A_TURN;
  #isNextAwaited = false;

  /** @returns whether another request may follow in this turn */
  follow(): boolean {
    if (this.#followersLeft === 0) return false;
    if (--this.#followersLeft === 0) this.#awaitNext();
    return true;
  }

  /** Gives `share` back in the next turn. */
  spend(share: TurnShare): void {
    this.#spent.push(share);
    this.#awaitNext();
  }

  /** Calls `owner` in a later turn, after all that wait already. */
  wait(owner: TurnOwner): void {
    this.#waiting.push(owner);
    this.#awaitNext();
  }

  #awaitNext(): void {
    if (this.#isNextAwaited) return;
    this.#isNextAwaited = true;
    setImmediate(this.#next);
  }

  readonly #next = (): void => {
    this.#isNextAwaited = false;
    this.#followersLeft = FOLLOW_A_TURN;
    const spent = this.#spent;
    this.#spent = [];
    for (const share of spent) share.renew();
    // Those that wait again meanwhile have had their turn.
    for (let left = this.#waiting.length; left > 0 && this.#followersLeft > 0; left--) this.#waiting.shift()?.goOn();
    if (this.#waiting.length > 0) this.#awaitNext();
  };
}

/** What one connection may begin in one turn; each segment, and over TLS each of its records, may bring a request of its own. */
export class TurnShare {
  readonly #turns: PipelineTurns;
  readonly #owner: TurnOwner;
  #left = BEGIN_A_TURN;
  #isWaiting = false;

  constructor(turns: PipelineTurns, owner: TurnOwner) {
    this.#turns = turns;
    this.#owner = owner;
  }

  /** A request that has just come may begin. */
  get mayBegin(): boolean {
    return this.#left > 0 && !this.#isWaiting;
  }

  /** One that has waited behind another may begin; to be asked once for each. */
  mayFollow(): boolean {
    return this.mayBegin && this.#turns.follow();
  }

  began(): void {
    if (--this.#left === 0) this.#turns.spend(this);
  }

  /** Another turn has come: it is told, or an upstream has answered since. */
  renew(): void {
    this.#left = BEGIN_A_TURN;
  }

  /** Calls the owner when it may go on. */
  wait(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#turns.wait(this);
  }

  goOn(): void {
    this.#isWaiting = false;
    this.#owner.goOn();
  }
}
