import type { Log } from "../telemetry/log.ts";

/**
 * A start that fails must end: what is half there would serve, and keep the process from being started again.
 * @param log closed last of all when the start fails
 * @param start is given what ends each part that it has begun
 * @throws what `start` throws, once everything is closed
 */
export async function startWhole<Running>(log: Log, start: (undo: Undo) => Promise<Running>): Promise<Running> {
  const undo = new Undo();
  undo.add(() => log.close());
  try {
    return await start(undo);
  } catch (error) {
    await undo.all((failure) => log.logger.error({ err: failure }, "closing after a start that failed"));
    throw error;
  }
}

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
