import type { Socket } from "node:net";

/** How many connections each guest address holds. */
export class GuestCounts {
  readonly #most: number;
  readonly #counts = new Map<string, number>();

  /** @param most connections of one guest */
  constructor(most: number) {
    this.#most = most;
  }

  isFull(guest: string): boolean {
    return (this.#counts.get(guest) ?? 0) >= this.#most;
  }

  /** Counts the connection as this guest's until it closes. */
  add(guest: string, socket: Socket): void {
    this.#counts.set(guest, (this.#counts.get(guest) ?? 0) + 1);
    socket.once("close", () => {
      const left = (this.#counts.get(guest) ?? 1) - 1;
      if (left === 0) this.#counts.delete(guest);
      else this.#counts.set(guest, left);
    });
  }
}
