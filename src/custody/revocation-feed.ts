import type { RevocationChange, RevocationPage } from "../core/revocation.ts";

/** Changes that a cursor may lie behind. */
const MOST_KEPT = 4_096;
/** Changes of one page: with the longest names they fit into what an edge reads of one answer. */
const MOST_OF_PAGE = 32;
/** Questions that may wait at one time. */
const MOST_WAITING = 1_024;

/**
 * The changes of what is revoked in their order, for edges that follow: a cursor is `epoch.sequence`. An epoch is one life of
 * the journal, which survives restarts; of another epoch, or of a time that is forgotten, nobody can tell what was missed.
 */
export class RevocationFeed {
  readonly epoch: string;
  readonly #kept: (RevocationChange | null)[] = [];
  /** Sequence number of the change before the oldest one that is kept. */
  #base: number;
  readonly #waiting = new Set<() => void>();
  #closed = false;
  #last: readonly RevocationChange[] = [];

  constructor(epoch: string, sequence: number) {
    this.epoch = epoch;
    this.#base = sequence;
  }

  /** Number of the newest change. */
  get sequence(): number {
    return this.#base + this.#kept.length;
  }

  /** @param change `null` keeps a place in the sequence */
  add(change: RevocationChange | null): void {
    this.#kept.push(change);
    if (this.#kept.length > MOST_KEPT) this.#base += this.#kept.splice(0, MOST_KEPT / 4).length;
    this.#wake();
  }

  /**
   * What came after a cursor; waits up to `waitMs` when nothing did. Never rejects.
   * @param after `null`: tells where the feed is
   * @param tenants of the one who asks: changes of others' sessions are not told; `null` = all
   */
  async after(
    after: string | null,
    waitMs: number,
    tenants: readonly string[] | null,
    signal: AbortSignal,
  ): Promise<RevocationPage> {
    const from = after === null ? this.sequence : this.#placeOf(after);
    if (after === null || from === null)
      return { cursor: this.#cursor(this.sequence), reset: after !== null, changes: [] };
    if (from === this.sequence && waitMs > 0) await this.#news(waitMs, signal);
    // What came while it waited may have pushed the oldest out.
    if (from < this.#base) return { cursor: this.#cursor(this.sequence), reset: true, changes: [] };
    const page = this.#kept.slice(from - this.#base, from - this.#base + MOST_OF_PAGE);
    const changes = page.filter((change) => change !== null && isFor(change, tenants)) as RevocationChange[];
    const cursor = this.#cursor(from + page.length);
    return { cursor, reset: false, changes: [...changes, ...this.#lastOnes(MOST_OF_PAGE - page.length)] };
  }

  /** Questions that wait right now. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Ends every wait, and lets nobody wait any more.
   * @param last told to everybody who asks from now on. They are no part of the sequence: a cursor stays good for the next life
   */
  close(last: readonly RevocationChange[] = []): void {
    this.#closed = true;
    if (last.length > 0) this.#last = last;
    this.#wake();
  }

  /** @param room in the page */
  #lastOnes(room: number): readonly RevocationChange[] {
    const [first] = this.#last;
    if (first === undefined || this.#last.length <= room) return this.#last;
    return [{ ...first, scope: "all", value: "", tenant: null }];
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  #news(waitMs: number, signal: AbortSignal): Promise<void> {
    if (this.#closed || signal.aborted || this.#waiting.size >= MOST_WAITING) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      timer.unref();
      signal.addEventListener("abort", done, { once: true });
      this.#waiting.add(done);
    });
  }

  #cursor(sequence: number): string {
    return `${this.epoch}.${sequence}`;
  }

  /** @returns the sequence number that the cursor stands for, or `null` when nothing is known about it */
  #placeOf(cursor: string): number | null {
    const [epoch, digits = ""] = cursor.split(".", 2);
    const sequence = /^(?:0|[1-9][0-9]{0,14})$/.test(digits) ? Number(digits) : null;
    if (epoch !== this.epoch || sequence === null) return null;
    return sequence < this.#base || sequence > this.sequence ? null : sequence;
  }
}

function isFor({ scope, value, tenant }: RevocationChange, tenants: readonly string[] | null): boolean {
  if (tenants === null) return true;
  if (scope === "tenant") return tenants.includes(value);
  return tenant === null || tenants.includes(tenant);
}
