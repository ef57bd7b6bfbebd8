import type { ServerHttp2Stream } from "node:http2";

/**
 * So many exchanges of one connection begin in one turn of the event loop; further streams wait for the next, in which everybody
 * else has been served. One that its guest has reset by then begins nothing: a flood of them costs a look at each (CVE-2023-44487).
 */
export const BEGIN_A_TURN = 8;

/** A stream whose exchange has not begun. */
export interface NewStream {
  readonly stream: ServerHttp2Stream;
  /** Nothing follows its head. */
  readonly endsHere: boolean;
  /** Names and values in turn. */
  readonly raw: readonly string[];
  /** As above, where they came before it began: they are an event that comes once. */
  trailers: string[] | null;
}

export interface Beginnings {
  begin(stream: NewStream): void;
  /** It was left by its guest before anything began. */
  leftAlone(stream: NewStream): void;
}

/** The streams of one connection on their way to their exchanges, in the order in which they came. */
export class BeginTurns {
  readonly #owner: Beginnings;
  readonly #waiting: NewStream[] = [];
  /** How many more may begin in this turn. */
  #allowance = BEGIN_A_TURN;

  constructor(owner: Beginnings) {
    this.#owner = owner;
  }

  /** Streams that wait. */
  get size(): number {
    return this.#waiting.length;
  }

  add(stream: NewStream): void {
    if (this.#allowance > 0) {
      this.#begin(stream);
      return;
    }
    this.#waiting.push(stream);
    stream.stream.once("trailers", (_fields, _flags, raw: string[]) => (stream.trailers = raw));
  }

  /** A turn is waited for only when one was used up: most connections never do. */
  #begin(stream: NewStream): void {
    if (--this.#allowance === 0) setImmediate(() => this.#nextTurn());
    this.#owner.begin(stream);
  }

  #nextTurn(): void {
    this.#allowance = BEGIN_A_TURN;
    while (this.#allowance > 0) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      if (next.stream.closed || next.stream.destroyed) this.#owner.leftAlone(next);
      else this.#begin(next);
    }
  }
}
