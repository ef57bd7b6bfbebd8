import { constants } from "node:fs";
import { lstat, open, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { DatabaseSync } from "node:sqlite";

const SQLITE_BUSY = 5;

/**
 * A record lock of the kernel (fcntl) on an empty file beside another one. The file stays; the lock goes with its process however
 * that dies, so there is nothing stale to take over, which is where locks made of names let two in. Of what Node brings only
 * `node:sqlite` reaches it: an exclusive transaction that writes nothing. That also tells owners in one process apart, as
 * record locks by themselves do not.
 */
export class KernelLock {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Opens it; nothing is locked yet. @throws what the system says */
  static async open(path: string): Promise<KernelLock> {
    await makeOnce(path);
    const { DatabaseSync } = await import("node:sqlite");
    return new KernelLock(new DatabaseSync(path, { timeout: 0 }));
  }

  /** @returns `false` while another one has it; @throws what SQLite says */
  tryTake(): boolean {
    try {
      this.#database.exec("BEGIN EXCLUSIVE");
      return true;
    } catch (error) {
      if (error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY) return false;
      throw error;
    }
  }

  /** Ends the transaction, and with it the lock. */
  close(): void {
    this.#database.close();
  }
}

/** The file that is locked in place of another one. */
export function lockFileOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.lock`);
}

/**
 * SQLite would make it open to others. A file that is there is not opened otherwise: to close it again would end the lock of a
 * neighbour in this process (fcntl(2) gives up all locks of a process with the first descriptor that it closes).
 */
async function makeOnce(path: string): Promise<void> {
  if ((await lstat(path).catch(() => null)) !== null) return;
  try {
    const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      // Made by root, it is still for the user whose directory this is.
      const { uid, gid } = await stat(dirname(path));
      if (process.geteuid?.() === 0) await file.chown(uid, gid);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
}
