import { type FSWatcher, realpathSync, watch } from "node:fs";
import { dirname } from "node:path";
import { fingerprint, reason } from "./file-set.ts";

export interface WatchOptions {
  /** As of `follow`. */
  readonly seen?: ReadonlyMap<string, string>;
  /** Quiet time after the last event before the files are looked at, `ms`: an editor writes in several steps. */
  readonly settleMs?: number;
  /** How often the files are looked at without any event, `ms`: network file systems and long chains of links send none. */
  readonly pollMs?: number;
  /** A directory cannot be watched; the files are still looked at every `pollMs`. */
  readonly onDegraded?: (why: string) => void;
}

export interface ConfigWatch {
  /**
   * Watches other files from now on: a new config may depend on others.
   * @param seen what the new ones looked like when they were read (`fingerprint`), so that no change since then is missed
   */
  follow(files: readonly string[], seen?: ReadonlyMap<string, string>): void;
  close(): void;
}

/**
 * Calls back when what stands at one of `files` has changed: written in place, renamed over, removed, made, or swapped behind
 * a symbolic link, as Kubernetes does with mounted volumes (`..data`). Directories are watched, not files, because a watch on a file
 * stays with the inode that a rename has replaced.
 * @param files absolute paths; they need not exist
 * @param onChange never called before this function has returned, nor after `close`
 */
export function watchConfig(files: readonly string[], onChange: () => void, options: WatchOptions = {}): ConfigWatch {
  const watcher = new Watcher(onChange, options);
  watcher.follow(files, options.seen);
  return watcher;
}

/** However many events come, the files are looked at within this many settle times. */
const MOST_SETTLES = 10;

class Watcher implements ConfigWatch {
  readonly #onChange: () => void;
  readonly #settleMs: number;
  readonly #onDegraded: (why: string) => void;
  readonly #poll: NodeJS.Timeout;
  readonly #directories = new Map<string, FSWatcher | null>();
  #files: readonly string[] = [];
  readonly #seen = new Map<string, string>();
  readonly #told = new Set<string>();
  #settle: NodeJS.Timeout | null = null;
  #postponed = 0;

  constructor(onChange: () => void, { settleMs = 100, pollMs = 5000, onDegraded = () => {} }: WatchOptions) {
    this.#onChange = onChange;
    this.#settleMs = settleMs;
    this.#onDegraded = onDegraded;
    // A watch alone keeps no process alive.
    this.#poll = setInterval(() => this.#look(), pollMs).unref();
  }

  follow(files: readonly string[], seen?: ReadonlyMap<string, string>): void {
    this.#files = [...new Set(files)];
    for (const file of this.#seen.keys()) if (!files.includes(file)) this.#seen.delete(file);
    // A file that stays keeps what was seen of it, so that a change made meanwhile is not missed.
    for (const file of this.#files) {
      if (!this.#seen.has(file)) this.#seen.set(file, seen?.get(file) ?? fingerprint(file));
    }
    this.#watchDirectories();
    // Changed since it was read, and no event will come of that.
    if (this.#files.some((file) => fingerprint(file) !== this.#seen.get(file))) this.#stir();
  }

  close(): void {
    clearInterval(this.#poll);
    if (this.#settle !== null) clearTimeout(this.#settle);
    for (const directory of this.#directories.values()) directory?.close();
    this.#directories.clear();
    this.#files = [];
    this.#seen.clear();
  }

  #stir(): void {
    if (this.#settle !== null && this.#postponed >= MOST_SETTLES) return;
    if (this.#settle !== null) clearTimeout(this.#settle);
    this.#postponed++;
    this.#settle = setTimeout(() => this.#look(), this.#settleMs).unref();
  }

  #look(): void {
    if (this.#settle !== null) clearTimeout(this.#settle);
    this.#settle = null;
    this.#postponed = 0;
    // Links may lead elsewhere now.
    this.#watchDirectories();
    let changed = false;
    for (const file of this.#files) {
      const now = fingerprint(file);
      changed ||= now !== this.#seen.get(file);
      this.#seen.set(file, now);
    }
    if (changed) this.#onChange();
  }

  #watchDirectories(): void {
    const wanted = new Set(this.#files.flatMap((file) => [dirname(file), dirname(realPath(file))]));
    for (const [path, directory] of this.#directories) {
      if (wanted.has(path) && directory !== null) continue;
      directory?.close();
      this.#directories.delete(path);
    }
    for (const path of wanted) {
      if (!this.#directories.has(path)) this.#directories.set(path, this.#watchDirectory(path));
    }
  }

  /** `null` while it cannot be watched: tried again at the next look. */
  #watchDirectory(path: string): FSWatcher | null {
    try {
      const directory = watch(path, { persistent: false }, () => this.#stir());
      directory.on("error", (error) => {
        this.#degraded(path, error);
        directory.close();
        this.#directories.delete(path);
      });
      return directory;
    } catch (error) {
      this.#degraded(path, error);
      return null;
    }
  }

  /** Told once a directory. That one is not there is told by the problem of the file in it. */
  #degraded(path: string, error: unknown): void {
    const why = reason(error);
    if (why === "ENOENT" || this.#told.has(path)) return;
    this.#told.add(path);
    this.#onDegraded(`${path} cannot be watched (${why}): its files are looked at now and then`);
  }
}

function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch (error) {
    // Not there, or a link to nowhere: its own directory is watched.
    if (error instanceof Error) return file;
    throw error;
  }
}
