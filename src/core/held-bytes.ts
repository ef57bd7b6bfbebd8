import type { ByteBudget } from "./byte-budget.ts";

const FIRST_BYTES = 4096;
const NOTHING = Buffer.alloc(0);

/** Copies of what a guest sent, within a budget. Grows by doubling with what has arrived; a slice would keep its whole segment. */
export class HeldBytes {
  readonly #mostBytes: number;
  readonly #budget: ByteBudget;
  readonly #owner: string;
  readonly #isSpare: boolean;
  #bytes: Buffer = NOTHING;
  #length = 0;

  /**
   * @param owner whose share of the budget it is
   * @param isSpare nobody needs it: see `ByteBudget.take`
   */
  constructor(mostBytes: number, budget: ByteBudget, owner: string, isSpare = false) {
    this.#mostBytes = mostBytes;
    this.#budget = budget;
    this.#owner = owner;
    this.#isSpare = isSpare;
  }

  get length(): number {
    return this.#length;
  }

  /** All of them; valid until `release`. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** @returns `false` when the budget has no room for the chunk: what was held still is. It fits into `mostBytes`. */
  add(chunk: Buffer): boolean {
    const length = this.#length + chunk.length;
    if (length > this.#bytes.length && !this.#grow(length)) return false;
    chunk.copy(this.#bytes, this.#length);
    this.#length = length;
    return true;
  }

  release(): void {
    this.#budget.give(this.#owner, this.#bytes.length, this.#isSpare);
    this.#bytes = NOTHING;
    this.#length = 0;
  }

  #grow(length: number): boolean {
    const size = Math.max(length, Math.min(this.#mostBytes, Math.max(FIRST_BYTES, this.#bytes.length * 2)));
    if (!this.#budget.take(this.#owner, size - this.#bytes.length, this.#isSpare)) return false;
    const grown = Buffer.allocUnsafeSlow(size);
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
    return true;
  }
}
