import { networkOf } from "../core/ip.ts";

/** What is counted: it ends with `close`. */
interface Closing {
  once(event: "close", listener: () => void): unknown;
}

/**
 * How many connections, or streams, each guest holds, and how many there are in all. A guest is an IPv4 address or a /64 of IPv6: who
 * has one of those has all of its addresses.
 */
export class GuestCounts {
  readonly #mostInAll: number;
  readonly #most: number;
  readonly #counts = new Map<string, number>();
  #all = 0;
  #guest = "";
  #network = "";

  /** @param most of one guest */
  constructor(most: number, mostInAll: number = Number.POSITIVE_INFINITY) {
    this.#most = most;
    this.#mostInAll = mostInAll;
  }

  /** @param guest its address */
  isFull(guest: string): boolean {
    return this.#all >= this.#mostInAll || (this.#counts.get(this.#networkOf(guest)) ?? 0) >= this.#most;
  }

  /** Counts it as this guest's until it closes. @param guest its address */
  add(guest: string, counted: Closing): void {
    const network = this.#networkOf(guest);
    this.#all++;
    this.#counts.set(network, (this.#counts.get(network) ?? 0) + 1);
    counted.once("close", () => {
      this.#all--;
      const left = (this.#counts.get(network) ?? 1) - 1;
      if (left === 0) this.#counts.delete(network);
      else this.#counts.set(network, left);
    });
  }

  /** Streams of one guest come one after the other, and reading an address costs some microseconds. */
  #networkOf(guest: string): string {
    if (guest !== this.#guest) {
      this.#guest = guest;
      this.#network = networkOf(guest);
    }
    return this.#network;
  }
}
