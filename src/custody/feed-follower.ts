import type { Clock } from "../core/clock.ts";
import type { CustodyPort } from "../core/custody.ts";
import type { RevocationChange } from "../core/revocation.ts";
import { within } from "./within.ts";

/** How long one question waits for news, `ms`. */
const WAIT_MS = 25_000;
const FIRST_PAUSE_MS = 250;
const MOST_PAUSE_MS = 5_000;
/** A feed that answers sooner than this without any news is not asked again at once, `ms`. */
const HASTE_MS = 1_000;

export interface FeedEvents {
  /** The first answer: what is held already came from before it. */
  began(): void;
  revoked(changes: readonly RevocationChange[]): void;
  /** Nobody knows what was missed. */
  reset(): void;
}

/** `starting`: not asked yet, or not answered. `lost`: leases run on to their own end and nothing tells of what is revoked. */
export type FeedState = "starting" | "following" | "lost";

/** Follows what one custody revokes, from wherever it stopped, until it is stopped. No lease depends on it for its end. */
export class FeedFollower {
  readonly #port: CustodyPort;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #events: FeedEvents;
  readonly #stopped = new AbortController();
  #cursor: string | null = null;
  #state: FeedState = "starting";

  constructor(port: CustodyPort, clock: Clock, random: () => number, events: FeedEvents) {
    this.#port = port;
    this.#clock = clock;
    this.#random = random;
    this.#events = events;
  }

  get state(): FeedState {
    return this.#state;
  }

  /** Never rejects; ends once it is stopped. */
  async run(): Promise<void> {
    const { signal } = this.#stopped;
    for (let failures = 0; !signal.aborted;) {
      const sinceMs = this.#clock.monotonicMs();
      try {
        const isNews = await this.#ask(signal);
        failures = 0;
        this.#state = "following";
        if (!isNews && this.#clock.monotonicMs() - sinceMs < HASTE_MS) await this.#pause(HASTE_MS);
      } catch {
        // The state tells of it; there is nobody to throw to.
        if (signal.aborted) return;
        this.#state = "lost";
        await this.#pause(Math.min(MOST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures++, 10)));
      }
    }
  }

  stop(): void {
    this.#stopped.abort();
  }

  /** @returns whether there was anything new */
  async #ask(signal: AbortSignal): Promise<boolean> {
    const waitMs = this.#cursor === null ? 0 : WAIT_MS;
    const page = await within(
      this.#port.timeoutMs + waitMs,
      signal,
      (ended) => this.#port.revocations(this.#cursor, waitMs, ended),
      () => undefined,
    );
    if (this.#cursor === null) this.#events.began();
    else if (page.reset) this.#events.reset();
    const revoked = page.changes.filter(({ type }) => type === "revoked");
    if (revoked.length > 0) this.#events.revoked(revoked);
    const isNews = !page.reset && page.cursor !== this.#cursor;
    this.#cursor = page.cursor;
    return isNews;
  }

  #pause(ms: number): Promise<void> {
    const { signal } = this.#stopped;
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms * (0.5 + this.#random() / 2));
      timer.unref();
      signal.addEventListener("abort", done, { once: true });
      if (signal.aborted) done();
    });
  }
}
