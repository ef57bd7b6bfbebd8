/** Counts records that could not be kept. A run of losses ends when there is room again. */
export class Losses {
  /** Since the start. */
  total = 0;
  #count = 0;
  #fromWallMs = 0;

  get ongoing(): boolean {
    return this.#count > 0;
  }

  /** @returns whether this is the first of a run */
  add(wallMs: number): boolean {
    this.total++;
    this.#count++;
    if (this.#count > 1) return false;
    this.#fromWallMs = wallMs;
    return true;
  }

  /** @returns the run that ends, or `null` when nothing was lost */
  end(): { readonly count: number; readonly fromWallMs: number } | null {
    if (this.#count === 0) return null;
    const run = { count: this.#count, fromWallMs: this.#fromWallMs };
    this.#count = 0;
    return run;
  }
}
