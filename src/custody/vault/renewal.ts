/**
 * When a token or lease is renewed: the figures of the official client's lifetime watcher. A grace of 10 to 20 % of the life is
 * drawn while it grows; the next look comes after 2/3 of what is left and 1/3 of the grace; what would be looked at inside the
 * grace is not renewed any more but replaced.
 */
export class Renewal {
  readonly #random: () => number;
  #graceMs = 0;
  #priorMs = 0;

  /** @param random in [0, 1) */
  constructor(random: () => number) {
    this.#random = random;
  }

  /**
   * @param leftMs life that is left now, after a renewal the new one
   * @returns how long to wait for the next renewal, `ms`, or `null`: replace it now
   */
  next(leftMs: number): number | null {
    // Once it stops growing its longest life is near, and the grace stays what it was.
    if (leftMs > this.#priorMs) this.#graceMs = leftMs * (0.1 + 0.1 * this.#random());
    this.#priorMs = leftMs;
    const waitMs = (leftMs * 2) / 3 + this.#graceMs / 3;
    return leftMs <= this.#graceMs || leftMs - waitMs <= this.#graceMs ? null : waitMs;
  }

  /** Life below which nothing new is begun, `ms`. */
  get graceMs(): number {
    return this.#graceMs;
  }
}

/**
 * How long to wait after the nth failure in a row, `ms`: doubling from `firstMs` up to `mostMs`, of which a random half is taken off,
 * so that custodies that failed together do not come back together.
 * @param failures at least 1
 */
export function backoffMs(failures: number, firstMs: number, mostMs: number, random: () => number): number {
  return Math.min(firstMs * 2 ** (failures - 1), mostMs) * (0.5 + 0.5 * random());
}
