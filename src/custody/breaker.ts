/**
 * Denies fast while a custody is down, so that guests do not queue behind a dead host. It only ever denies sooner what would
 * be denied anyway: it holds no lease and grants nothing. After `openMs` one call is let through as the probe.
 */
export class Breaker {
  readonly #threshold: number;
  readonly #openMs: number;
  #failures = 0;
  #openUntilMs: number | null = null;
  #probing = false;
  #lastOkMs: number | null = null;

  /**
   * @param threshold failures in a row that open it
   * @param openMs how long it stays open before one probe may pass, `ms`
   */
  constructor(threshold: number, openMs: number) {
    this.#threshold = threshold;
    this.#openMs = openMs;
  }

  /** Whether a call may start now. Each `true` must be followed by exactly one `succeeded`, `failed` or `abandoned`. */
  admits(nowMs: number): boolean {
    if (this.#openUntilMs === null) return true;
    if (this.#probing || nowMs < this.#openUntilMs) return false;
    this.#probing = true;
    return true;
  }

  succeeded(nowMs: number): void {
    this.#failures = 0;
    this.#openUntilMs = null;
    this.#probing = false;
    this.#lastOkMs = nowMs;
  }

  failed(nowMs: number): void {
    this.#failures++;
    this.#probing = false;
    if (this.#failures >= this.#threshold) this.#openUntilMs = nowMs + this.#openMs;
  }

  /** The call ended without saying anything about custody (it was cancelled by the edge itself). */
  abandoned(): void {
    this.#probing = false;
  }

  /** Custody showed life on another way: the next call may pass at once. */
  hint(nowMs: number): void {
    if (this.#openUntilMs !== null) this.#openUntilMs = Math.min(this.#openUntilMs, nowMs);
  }

  get isOpen(): boolean {
    return this.#openUntilMs !== null;
  }

  get failures(): number {
    return this.#failures;
  }

  /** Monotonic ms of the last good answer, or `null`. */
  get lastOkMs(): number | null {
    return this.#lastOkMs;
  }
}
