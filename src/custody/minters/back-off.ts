import type { Clock } from "../../core/clock.ts";
import { SourceError } from "../sources/source.ts";
import { MintFailure } from "./mint-failure.ts";

const FIRST_MS = 1_000;
const MOST_MS = 60_000;
/** An issuer that asks for more is asked again all the same. */
const MOST_ASKED_FOR_MS = 300_000;

/** Waits longer after each failure in a row, by chance a little more or less, so that many custodies do not come back at once. */
export class BackOff {
  readonly #clock: Clock;
  readonly #random: () => number;
  #failures = 0;
  #untilMs = 0;
  #why = "";

  /** @param random in [0, 1) */
  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /** The reason of the last failure while it is not yet time to try again, or `null`. */
  get refusal(): SourceError | null {
    const leftMs = this.#untilMs - this.#clock.monotonicMs();
    if (this.#failures === 0 || leftMs <= 0) return null;
    return new SourceError(`${this.#why} (tried again in ${Math.ceil(leftMs / 1000)} s)`);
  }

  failed(error: unknown): void {
    const askedForMs = error instanceof MintFailure ? Math.min(error.retryAfterMs ?? 0, MOST_ASKED_FOR_MS) : 0;
    const delayMs = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(this.#failures, 10)) * (0.75 + 0.5 * this.#random());
    this.#failures++;
    this.#why = error instanceof Error ? error.message : "unknown error";
    // More than was asked for, never less.
    this.#untilMs = this.#clock.monotonicMs() + Math.max(delayMs, askedForMs * (1 + 0.2 * this.#random()));
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
