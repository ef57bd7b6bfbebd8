/** No lease lives longer, so nothing of this id can come afterwards, `ms`. */
const REMEMBERED_MS = 15 * 60_000;
const MOST_REMEMBERED = 10_000;

/** Leases that were revoked by id: one may still be on its way when the edge hears of it. */
export class RevokedIds {
  /** Oldest first. */
  readonly #forgetAtMs = new Map<string, number>();

  add(custody: string, leaseId: string, nowMs: number): void {
    const oldest = this.#forgetAtMs.size >= MOST_REMEMBERED ? this.#forgetAtMs.keys().next() : null;
    if (oldest !== null && oldest.done !== true) this.#forgetAtMs.delete(oldest.value);
    this.#forgetAtMs.set(`${custody}/${leaseId}`, nowMs + REMEMBERED_MS);
  }

  has(custody: string, leaseId: string): boolean {
    return this.#forgetAtMs.size > 0 && this.#forgetAtMs.has(`${custody}/${leaseId}`);
  }

  sweep(nowMs: number): void {
    for (const [key, atMs] of this.#forgetAtMs) {
      if (nowMs < atMs) return;
      this.#forgetAtMs.delete(key);
    }
  }
}
