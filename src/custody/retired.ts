import type { Lease } from "../core/exchange.ts";

/**
 * Leases that were replaced, rejected or evicted while an exchange may stand between lease and attach. They are zeroed after
 * a short grace, at once when their session is dropped, and at once when there are too many of them.
 */
export class Retired {
  readonly #graceMs: number;
  readonly #maxLeases: number;
  readonly #ended: (custody: string, lease: Lease) => void;
  /** Oldest first: the grace is the same for all. */
  readonly #held = new Map<Lease, Kept>();

  /** @param ended is told of each lease of which custody wants to know that nobody holds it any more */
  constructor(graceMs: number, maxLeases: number, ended: (custody: string, lease: Lease) => void) {
    this.#graceMs = graceMs;
    this.#maxLeases = maxLeases;
    this.#ended = ended;
  }

  /** @param handBack custody is told at its end, unless the lease runs out by itself */
  add(lease: Lease, custody: string, nowMs: number, handBack = false): void {
    if (!lease.isLive(nowMs)) {
      lease.revoke();
      return;
    }
    this.#held.set(lease, { custody, zeroAtMs: Math.min(nowMs + this.#graceMs, lease.expiresAtMs), handBack });
    if (this.#held.size <= this.#maxLeases) return;
    const oldest = this.#held.keys().next();
    if (oldest.done !== true) this.#revoke(oldest.value);
  }

  /** Zeroes what is due. */
  sweep(nowMs: number): void {
    for (const [lease, { zeroAtMs }] of this.#held) if (nowMs >= zeroAtMs) this.#revoke(lease);
  }

  /** Zeroes every lease that `matches`, without grace. */
  revokeWhere(matches: (lease: Lease, custody: string) => boolean): void {
    for (const [lease, { custody }] of this.#held) if (matches(lease, custody)) this.#revoke(lease);
  }

  get size(): number {
    return this.#held.size;
  }

  #revoke(lease: Lease): void {
    const kept = this.#held.get(lease);
    this.#held.delete(lease);
    lease.revoke();
    if (kept?.handBack === true) this.#ended(kept.custody, lease);
  }
}

interface Kept {
  readonly custody: string;
  readonly zeroAtMs: number;
  readonly handBack: boolean;
}
