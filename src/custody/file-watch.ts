import { stat } from "node:fs/promises";
import { fileIdentity } from "../core/file-identity.ts";

export interface FileWatchOptions {
  /** Told the path of a file that is not what it was: another content, another mode, gone, or back. */
  readonly onChange: (path: string) => void;
  /** How often the files are looked at, `ms`. */
  readonly pollMs?: number;
}

/**
 * Notices that a file that credentials are read from has changed, so that edges ask anew instead of using up the leases
 * they hold. What the file says is never read here: a source does that for every lease, and what it cannot read is no lease.
 *
 * Files are looked at and not watched by the system: mounted secrets and network file systems send no events for what
 * happens behind a link or on another machine. One is looked at after the other, off the event loop, so that a disk that
 * hangs holds one thread.
 */
export class FileWatch {
  readonly #onChange: (path: string) => void;
  readonly #timer: NodeJS.Timeout;
  /** What was seen of each; `null` = nothing yet. */
  #seen = new Map<string, string | null>();
  #looking = false;
  #revision = 0;

  constructor({ onChange, pollMs = 2_000 }: FileWatchOptions) {
    this.#onChange = onChange;
    this.#timer = setInterval(() => void this.look(), pollMs).unref();
  }

  /** Another one after each change. */
  get revision(): number {
    return this.#revision;
  }

  /** Looks after these files from now on; of one that stays, what was seen is kept. @param paths absolute */
  follow(paths: Iterable<string>): void {
    this.#seen = new Map([...paths].map((path) => [path, this.#seen.get(path) ?? null]));
    void this.look();
  }

  /**
   * This process has written a file itself, and nobody has to ask anew for that. A change by somebody else that came before, and was not
   * seen yet, still counts.
   * @param before `fileIdentity` of what it replaced, `null` for nothing
   */
  accept(path: string, before: string | null, after: string): void {
    if (this.#seen.get(path) === (before ?? "ENOENT")) this.#seen.set(path, after);
  }

  /** Looks at each file once; runs by itself. Never rejects. */
  async look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      for (const path of this.#seen.keys()) this.#compare(path, await fingerprint(path));
    } finally {
      this.#looking = false;
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#seen.clear();
  }

  #compare(path: string, now: string): void {
    const before = this.#seen.get(path);
    if (before === undefined || before === now) return;
    this.#seen.set(path, now);
    if (before === null) return;
    this.#revision++;
    this.#onChange(path);
  }
}

/** What stands at a path: a file's identity, or why there is none to be seen. */
async function fingerprint(path: string): Promise<string> {
  try {
    return fileIdentity(await stat(path, { bigint: true }));
  } catch (error) {
    // Not there, or not to be looked at: that is a state like any other, and it ends.
    return error instanceof Error && "code" in error ? String(error.code) : "unknown";
  }
}
