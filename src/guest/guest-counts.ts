/** What is counted: it ends with `close`. */
interface Closing {
  once(event: "close", listener: () => void): unknown;
}

/** How many connections, or streams, each guest address holds, and how many there are in all. */
export class GuestCounts {
  readonly #mostInAll: number;
  readonly #most: number;
  readonly #counts = new Map<string, number>();
  #all = 0;

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
    this.#counts.set(guest, (this.#counts.get(guest) ?? 0) + 1);
    counted.once("close", () => {
      this.#all--;
      const left = (this.#counts.get(guest) ?? 1) - 1;
      if (left === 0) this.#counts.delete(guest);
      else this.#counts.set(guest, left);
    });
  }
}
