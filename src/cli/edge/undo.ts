/** What was opened so far, to be closed again in reverse order when a later step fails. */
export class Undo {
  readonly #steps: (() => Promise<void> | void)[] = [];

  add(step: () => Promise<void> | void): void {
    this.#steps.push(step);
  }

  /** Takes every step, whatever becomes of the others. @param onFailure told of each that threw */
  async all(onFailure: (error: unknown) => void): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        onFailure(error);
      }
    }
  }
}
