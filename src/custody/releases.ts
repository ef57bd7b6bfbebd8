import type { Lease } from "../core/exchange.ts";
import type { KeptCustody } from "./kept-custody.ts";

/** Leases that wait to be given back; what does not fit runs out by itself. */
const MOST_WAITING = 2_000;
const MOST_AT_ONCE = 8;

/** Tells custodies of leases that are held no longer, a few at a time. Nothing waits for it, and what fails is not tried again. */
export class Releases {
  #waiting: { readonly custody: KeptCustody; readonly lease: Lease }[] = [];
  #running = 0;
  #idle: (() => void)[] = [];

  add(custody: KeptCustody | undefined, lease: Lease): void {
    if (custody === undefined || this.#waiting.length >= MOST_WAITING) return;
    this.#waiting.push({ custody, lease });
    this.#next();
  }

  /** Resolves once nothing waits any more, at the latest after `ms`. */
  async settle(ms: number): Promise<void> {
    if (this.#running === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle.push(resolve);
    const timer = setTimeout(resolve, ms);
    await promise;
    clearTimeout(timer);
  }

  /** What has not begun is left. */
  close(): void {
    this.#waiting.length = 0;
  }

  #next(): void {
    while (this.#running < MOST_AT_ONCE) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#running++;
      // It owns its outcome.
      void this.#release(next.custody, next.lease);
    }
    if (this.#running > 0) return;
    for (const settled of this.#idle.splice(0)) settled();
  }

  async #release(custody: KeptCustody, { id: leaseId, scope }: Lease): Promise<void> {
    const isThere = await custody.release({ leaseId, session: scope.session, tenant: scope.tenant });
    // What else waits for one that does not answer is left to run out.
    if (!isThere) this.#waiting = this.#waiting.filter((waiting) => waiting.custody !== custody);
    this.#running--;
    this.#next();
  }
}
