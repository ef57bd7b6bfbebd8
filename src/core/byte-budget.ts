/**
 * How many bytes the edge holds for others, in all and for each of them: what would be more is refused, so that nothing that
 * guests send makes the edge grow. Nobody gets more than a third of what the others leave: a few that take all they can, and
 * keep it, do not shut everybody else out.
 */
export class ByteBudget {
  readonly #mostBytes: number;
  readonly #mostBytesEach: number;
  readonly #held = new Map<string, number>();
  #heldBytes = 0;
  #spareBytes = 0;

  /** @param mostBytes in all; one of them gets a quarter at most */
  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
    this.#mostBytesEach = Math.ceil(mostBytes / 4);
  }

  /**
   * @param isSpare it is nice to have, and nobody needs it: half of what there may be is left to what is needed, in all and each
   * @returns `false` when that is more than there may be: nothing was taken then
   */
  take(who: string, bytes: number, isSpare = false): boolean {
    const before = this.#held.get(who) ?? 0;
    const held = before + bytes;
    const left = this.#mostBytes - (this.#heldBytes - before);
    const most = Math.min(this.#mostBytesEach, left / 3);
    if (held > (isSpare ? most / 2 : most)) return false;
    if (isSpare) {
      if (this.#spareBytes + bytes > this.#mostBytes / 2) return false;
      this.#spareBytes += bytes;
    }
    this.#held.set(who, held);
    this.#heldBytes += bytes;
    return true;
  }

  /** @param isSpare as it was taken */
  give(who: string, bytes: number, isSpare = false): void {
    if (isSpare) this.#spareBytes -= bytes;
    const held = (this.#held.get(who) ?? 0) - bytes;
    if (held > 0) this.#held.set(who, held);
    else this.#held.delete(who);
    this.#heldBytes -= bytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }
}
