/** What one session may have of what the others leave. */
const PART = 3 / 4;

/**
 * How many of the connections to one upstream each session holds. Nobody gets all that is left: of 256 the first gets 192 at most,
 * the next one 48 of the others. A session that keeps what it has, by requests that hardly move, shuts nobody else out.
 */
export class Shares {
  readonly #most: number;
  readonly #held = new Map<string, number>();
  #all = 0;

  /** @param most connections in all */
  constructor(most: number) {
    this.#most = most;
  }

  /** @param who key of a session */
  mayTake(who: string): boolean {
    const mine = this.#held.get(who) ?? 0;
    const left = this.#most - (this.#all - mine);
    return mine < Math.max(1, Math.floor(left * PART));
  }

  take(who: string): void {
    this.#held.set(who, (this.#held.get(who) ?? 0) + 1);
    this.#all++;
  }

  give(who: string): void {
    const held = (this.#held.get(who) ?? 0) - 1;
    if (held > 0) this.#held.set(who, held);
    else this.#held.delete(who);
    this.#all--;
  }
}
