import type { ByteBudget } from "../../core/byte-budget.ts";
import { Denial } from "../../core/denial.ts";

/** What one body holds of the budget of its destination. */
export class HeldChunks {
  readonly #budget: ByteBudget;
  readonly #share: Share;

  /** @param owner whose share of the budget it is @param body whatever becomes of it, its share is given back */
  constructor(budget: ByteBudget, owner: string, body: object) {
    this.#budget = budget;
    this.#share = { budget, owner, bytes: 0 };
    forgotten.register(body, this.#share);
  }

  /** @throws Denial `body_buffer_full` */
  take(bytes: number): void {
    if (!this.#budget.take(this.#share.owner, bytes))
      throw new Denial("body_buffer_full", { cause: `${this.#budget.heldBytes} bytes of chunks are held` });
    this.#share.bytes += bytes;
  }

  giveAll(): void {
    giveBack(this.#share);
  }
}

interface Share {
  readonly budget: ByteBudget;
  readonly owner: string;
  bytes: number;
}

/** An exchange that is over may leave its body where it is, in the middle of a chunk: nobody tells it then. */
const forgotten = new FinalizationRegistry<Share>(giveBack);

function giveBack(share: Share): void {
  if (share.bytes > 0) share.budget.give(share.owner, share.bytes);
  share.bytes = 0;
}
