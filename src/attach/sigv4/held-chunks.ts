import type { ByteBudget } from "../../core/byte-budget.ts";
import { Denial } from "../../core/denial.ts";

/** What one body holds of the budget of its destination. */
export class HeldChunks {
  readonly #budget: ByteBudget;
  readonly #owner: string;
  #bytes = 0;

  /** @param owner whose share of the budget it is */
  constructor(budget: ByteBudget, owner: string) {
    this.#budget = budget;
    this.#owner = owner;
  }

  /** @throws Denial `body_buffer_full` */
  take(bytes: number): void {
    if (!this.#budget.take(this.#owner, bytes))
      throw new Denial("body_buffer_full", { cause: `${this.#budget.heldBytes} bytes of chunks are held` });
    this.#bytes += bytes;
  }

  giveAll(): void {
    this.#budget.give(this.#owner, this.#bytes);
    this.#bytes = 0;
  }
}
