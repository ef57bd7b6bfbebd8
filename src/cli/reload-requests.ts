import type { Logger } from "pino";
import type { Loaded } from "../config/load.ts";
import { type ConfigWatch, watchConfig } from "../config/watch.ts";

/** The files that a config was read from, and what they looked like then. */
export type ReadFrom = Pick<Loaded<never>, "files" | "seen">;

/**
 * What asks a running process to read its config anew: SIGHUP, and a change of the files that the config was read from. SIGHUP
 * is heard from the making of this on, because it would end a process that is starting: it is kept, and asks once there is
 * something to reload.
 */
export class ReloadRequests {
  #ask: ((why: string) => void) | null = null;
  #early = false;
  #watch: ConfigWatch | null = null;

  constructor() {
    process.on("SIGHUP", () => {
      if (this.#ask === null) this.#early = true;
      else this.#ask("SIGHUP");
    });
  }

  /**
   * @param read what the config in force was read from; a change since then asks as well
   * @param reload called for each request from now on, and at once for a SIGHUP that came before
   */
  handTo(reload: () => void, { files, seen }: ReadFrom, logger: Logger): void {
    const ask = (why: string): void => {
      logger.info({ why }, "reading the config anew");
      reload();
    };
    this.#ask = ask;
    this.#watch = watchConfig(files, () => ask("the config changed"), {
      seen,
      onDegraded: (why) =>
        logger.warn({ why }, "a directory of the config cannot be watched: looking at it every few seconds"),
    });
    if (this.#early) ask("SIGHUP");
  }

  /** What was read since may depend on other files; nothing after `close`. */
  follow({ files, seen }: ReadFrom): void {
    this.#watch?.follow(files, seen);
  }

  /** Nothing is asked any more; SIGHUP still does not end a process that drains. */
  close(): void {
    this.#watch?.close();
    this.#watch = null;
    this.#ask = null;
  }
}
