import type { Lease } from "../core/exchange.ts";

/**
 * Leases that were replaced, rejected or evicted while an exchange may stand between lease and attach. They are zeroed after
 * a short grace, at once when their session is dropped, and at once when there are too many of them.
 */
export class Retired {
  readonly #graceMs: number;
  readonly #maxLeases: number;
  /** Oldest first: the grace is the same for all. */
  readonly #zeroAtMs = new Map<Lease, number>();

  constructor(graceMs: number, maxLeases: number) {
    this.#graceMs = graceMs;
    this.#maxLeases = maxLeases;
  }

  add(lease: Lease, nowMs: number): void {
    if (!lease.isLive(nowMs)) {
      lease.revoke();
      return;
    }
    this.#zeroAtMs.set(lease, Math.min(nowMs + this.#graceMs, lease.expiresAtMs));
    if (this.#zeroAtMs.size <= this.#maxLeases) return;
    const oldest = this.#zeroAtMs.keys().next();
    if (oldest.done !== true) this.#revoke(oldest.value);
  }

  /** Zeroes what is due. */
  sweep(nowMs: number): void {
    for (const [lease, dueMs] of this.#zeroAtMs) if (nowMs >= dueMs) this.#revoke(lease);
  }

  /** Zeroes every lease that `matches`, without grace. */
  revokeWhere(matches: (lease: Lease) => boolean): void {
    for (const lease of this.#zeroAtMs.keys()) if (matches(lease)) this.#revoke(lease);
  }

  get size(): number {
    return this.#zeroAtMs.size;
  }

  #revoke(lease: Lease): void {
    this.#zeroAtMs.delete(lease);
    lease.revoke();
  }
}
