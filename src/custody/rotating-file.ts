import { syncDirectory } from "./sync-directory.ts";
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { Secret } from "../core/secret.ts";
import { OwnerLock } from "./owner-lock.ts";
import type { RotatingRoot } from "./rotating-root.ts";
import { type CredentialSource, MAX_ROOT_BYTES, SourceError } from "./sources/source.ts";

const FORMAT = "postern-rotating-root-1";

/** What the file holds. */
interface State {
  /** SHA-256 of the root that it all began with: another one begins anew. */
  readonly seed: string;
  readonly current: Secret;
  /** The one before, while `current` has never worked. */
  readonly previous: Secret | null;
}

export interface RotatingFileOptions {
  /** Absolute. */
  readonly path: string;
  /** Where the first root is read, each time anew: without it there is no root, whatever the file holds. Closed by its owner. */
  readonly seed: CredentialSource;
  /** User id of this process, or `null` where the system has none. */
  readonly uid: number | null;
}

/**
 * A rotating root in a file of its own, mode 0600. Each state is written to a file beside it, forced to the disk and renamed
 * over it, and the rename is forced to the disk as well: at any moment one of both is whole, and of two whole ones the one
 * that was not yet renamed is newer.
 */
export class RotatingFile implements RotatingRoot {
  readonly timeoutMs: number;
  readonly #path: string;
  readonly #seed: CredentialSource;
  readonly #uid: number | null;
  #lock: OwnerLock | null = null;
  #state: State | null = null;
  /** What `#state` says is on the disk. */
  #isWritten = true;

  constructor({ path, seed, uid }: RotatingFileOptions) {
    this.#path = path;
    this.#seed = seed;
    this.#uid = uid;
    this.timeoutMs = seed.timeoutMs + 5_000;
  }

  async read(): Promise<Secret> {
    const { secret: seed } = await this.#seed.read(false);
    try {
      await this.#own();
      this.#state ??= await this.#load();
      if (!this.#isWritten && this.#state !== null) await this.#write(this.#state);
      const fingerprint = fingerprintOf(seed);
      if (this.#state?.seed !== fingerprint)
        this.#become({ seed: fingerprint, current: copyOf(seed), previous: null }, true);
      return copyOf(this.#held.current);
    } finally {
      seed.zero();
    }
  }

  async rotate(next: Secret): Promise<void> {
    const { seed, current } = this.#held;
    this.#become({ seed, current: copyOf(next), previous: copyOf(current) }, false);
    await this.#write(this.#held);
  }

  async worked(): Promise<void> {
    const { seed, current, previous } = this.#held;
    if (previous === null) return;
    this.#become({ seed, current: copyOf(current), previous: null }, false);
    await this.#write(this.#held);
  }

  async previous(): Promise<Secret | null> {
    const { previous } = this.#held;
    return previous === null ? null : copyOf(previous);
  }

  async close(): Promise<void> {
    this.#become(null, true);
    const lock = this.#lock;
    this.#lock = null;
    lock?.release();
  }

  get #held(): State {
    if (this.#state === null) throw new SourceError(`"${this.#path}" is not open: ask again`);
    return this.#state;
  }

  #become(next: State | null, isWritten: boolean): void {
    const before = this.#state;
    this.#state = next;
    this.#isWritten = isWritten;
    before?.current.zero();
    before?.previous?.zero();
  }

  /** One owner at a time; who has lost the name forgets what it knew. */
  async #own(): Promise<void> {
    if (this.#lock !== null && !(await this.#lock.isHeld())) {
      await this.close();
      throw new SourceError(
        `"${this.#path}" was taken over by another custody: stop it, or give each a file of its own`,
      );
    }
    this.#lock ??= await OwnerLock.take(this.#path);
  }

  async #load(): Promise<State | null> {
    const newer = await this.#readState(this.#newPath);
    if (newer === "broken" || newer === null) {
      // Broken off while it was written: what it was to replace is whole.
      if (newer === "broken") await rm(this.#newPath, { force: true });
      const state = await this.#readState(this.#path);
      if (state !== "broken") return state;
      throw new SourceError(
        `"${this.#path}" is damaged: restore it, or remove it and put a new root where the source says`,
      );
    }
    await this.#putInPlace();
    return newer;
  }

  get #newPath(): string {
    return `${this.#path}.new`;
  }

  async #write(state: State): Promise<void> {
    try {
      const file = await open(
        this.#newPath,
        constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | NO_FOLLOW,
        0o600,
      );
      const bytes = Buffer.from(textOf(state));
      try {
        await file.chmod(0o600);
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        bytes.fill(0);
        await file.close();
      }
      await this.#putInPlace();
      this.#isWritten = true;
    } catch (error) {
      throw new SourceError(
        `"${this.#path}" cannot be written (${codeOf(error)}): make room and check its directory before this custody ends, for it holds the only copy`,
      );
    }
  }

  async #putInPlace(): Promise<void> {
    await rename(this.#newPath, this.#path);
    await syncDirectory(dirname(this.#path));
  }

  /** @returns `null` when there is no such file, `broken` when it is not whole */
  async #readState(path: string): Promise<State | "broken" | null> {
    const bytes = await this.#bytesOf(path);
    if (bytes === null) return null;
    const state = parsed(bytes.toString("utf8"));
    bytes.fill(0);
    return state ?? "broken";
  }

  async #bytesOf(path: string): Promise<Buffer | null> {
    try {
      const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | NO_FOLLOW);
      try {
        const { mode, uid, size } = await file.stat();
        const isOwn = this.#uid === null || uid === this.#uid;
        if (!isOwn || (mode & 0o077) !== 0)
          throw new SourceError(
            `"${path}" must belong to this user and be closed to all others: chown it and chmod 0600`,
          );
        if (size > MOST_STATE_BYTES) return Buffer.alloc(0);
        return await file.readFile();
      } finally {
        await file.close();
      }
    } catch (error) {
      if (error instanceof SourceError) throw error;
      if (codeOf(error) === "ENOENT") return null;
      throw new SourceError(`"${path}" cannot be read (${codeOf(error)}): check path and owner`);
    }
  }
}

const NO_FOLLOW = constants.O_NOFOLLOW;
const MOST_STATE_BYTES = 8 * MAX_ROOT_BYTES;

/** One line, ended by its own digest: what is not whole is not taken for something else. */
function textOf({ seed, current, previous }: State): string {
  const line = JSON.stringify({
    format: FORMAT,
    seed,
    current: current.reveal(),
    previous: previous?.reveal() ?? null,
  });
  return `${line}\n${createHash("sha256").update(line).digest("hex")}\n`;
}

function parsed(text: string): State | null {
  const [line = "", digest = "", rest] = text.split("\n");
  if (rest !== "" || createHash("sha256").update(line).digest("hex") !== digest) return null;
  const { format, seed, current, previous }: Record<string, unknown> = JSON.parse(line);
  if (format !== FORMAT || typeof seed !== "string" || typeof current !== "string") return null;
  return { seed, current: Secret.of(current), previous: typeof previous === "string" ? Secret.of(previous) : null };
}

/** A root is long and random: nobody finds it by hashing candidates. */
function fingerprintOf(seed: Secret): string {
  return createHash("sha256").update(`postern-root\n${seed.reveal()}`).digest("hex");
}

function copyOf(secret: Secret): Secret {
  return Secret.of(secret.reveal());
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown error";
}
