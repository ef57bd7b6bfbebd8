/** The same work over and over, several at once. */
export class Loops {
  /** Rejects with the first failure; never resolves. */
  readonly failure: Promise<never>;
  readonly #all: Promise<unknown>;
  #count = 0;
  #isOver = false;

  /** `once` does the work one time; it is told which of the loops it runs in. */
  constructor(concurrency: number, once: (loop: number) => Promise<void>) {
    this.#all = Promise.all(Array.from({ length: concurrency }, (_, loop) => this.#run(loop, once)));
    this.failure = this.#all.then(() => new Promise<never>(() => undefined));
    this.failure.catch(() => undefined); // it is raced
  }

  /** How often the work was done. */
  get count(): number {
    return this.#count;
  }

  /** Lets what is under way end. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#all.catch(() => undefined); // whoever raced `failure` has heard of it
  }

  async #run(loop: number, once: (loop: number) => Promise<void>): Promise<void> {
    while (!this.#isOver) {
      await once(loop);
      this.#count++;
    }
  }
}
