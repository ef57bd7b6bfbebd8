/** Counts the exchanges whose record is still open, so that a drain can wait for the last one to be written down. */
export class RunningExchanges {
  #count = 0;
  #onNone: (() => void) | null = null;

  began(): void {
    this.#count++;
  }

  ended(): void {
    if (--this.#count === 0) this.#onNone?.();
  }

  /** Resolves once none is running, or after `timeoutMs`. For one caller. */
  none(timeoutMs: number): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#onNone = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
