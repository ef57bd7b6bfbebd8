/** What an upstream turned out to speak: HTTP/2 alone, or HTTP/1.1 although it chooses nothing in ALPN. */
export type Spoken = "h2" | "http/1.1";

/**
 * What `http: auto` has learnt of the upstreams of one destination, by pool key. It outlives the pools, which end with their last
 * connection.
 */
export class KnownHttp {
  readonly #spoken = new Map<string, Spoken>();

  get(key: string): Spoken | null {
    return this.#spoken.get(key) ?? null;
  }

  set(key: string, spoken: Spoken): void {
    this.#spoken.delete(key);
    this.#spoken.set(key, spoken);
    // Names below a wildcard are the guests' to choose: what was learnt first is learnt again.
    for (const oldest of this.#spoken.keys()) {
      if (this.#spoken.size <= MOST_KNOWN) break;
      this.#spoken.delete(oldest);
    }
  }
}

const MOST_KNOWN = 1000;
