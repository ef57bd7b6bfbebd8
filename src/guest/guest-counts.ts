/** What is counted: it ends with `close`. */
interface Closing {
  once(event: "close", listener: () => void): unknown;
}

/** Guests that have left stay in the table up to so many, see `Roster`: a `Map` that loses its only key and gets it back is the same. */
const LEFT_KEPT = 1_000;

/** How many connections, or streams, each guest address holds, and how many there are in all. */
export class GuestCounts {
  readonly #mostInAll: number;
  readonly #most: number;
  readonly #counts = new Map<string, number>();
  #all = 0;
  /** Guests in the table that hold nothing. */
  #left = 0;

  /** @param most of one guest */
  constructor(most: number, mostInAll: number = Number.POSITIVE_INFINITY) {
    this.#most = most;
    this.#mostInAll = mostInAll;
  }

  isFull(guest: string): boolean {
    return this.#all >= this.#mostInAll || (this.#counts.get(guest) ?? 0) >= this.#most;
  }

  /** Counts it as this guest's until it closes. */
  add(guest: string, counted: Closing): void {
    this.#all++;
    const held = this.#counts.get(guest);
    if (held === 0) this.#left--;
    this.#counts.set(guest, (held ?? 0) + 1);
    counted.once("close", () => this.#remove(guest));
  }

  #remove(guest: string): void {
    this.#all--;
    const held = (this.#counts.get(guest) ?? 1) - 1;
    this.#counts.set(guest, held);
    if (held === 0 && ++this.#left > LEFT_KEPT) this.#forgetLeft();
  }

  #forgetLeft(): void {
    for (const [guest, held] of this.#counts) if (held === 0) this.#counts.delete(guest);
    this.#left = 0;
  }
}
