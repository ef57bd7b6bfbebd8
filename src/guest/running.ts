/** Counts the exchanges whose record is still open, so that a drain can wait for the last one to be written down. */
export class RunningExchanges {
  #count = 0;
  #none: PromiseWithResolvers<void> | null = null;

  began(): void {
    this.#count++;
  }

  ended(): void {
    if (--this.#count === 0) this.#none?.resolve();
  }

  /** Resolves once none is running, or after `timeoutMs`. For one caller. */
  none(timeoutMs: number): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    const none = Promise.withResolvers<void>();
    this.#none = none;
    const timer = setTimeout(none.resolve, timeoutMs);
    return none.promise.finally(() => clearTimeout(timer));
  }
}
