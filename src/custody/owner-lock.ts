import { constants } from "node:fs";
import { lstat, open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { SourceError } from "./sources/source.ts";

/** One that is being closed is waited for: a reload hands a file over within one process. */
const WAIT_MS = 2_000;
const LOOK_EVERY_MS = 50;
const SQLITE_BUSY = 5;

/**
 * One owner a file, across the processes of one machine. What is locked is an empty file beside it, which stays. The lock is a record lock of
 * the kernel (fcntl): it goes with its process however that dies, so there is nothing stale to take over, which is where
 * locks made of names let two in. Of what Node brings only `node:sqlite` reaches it, which also
 * tells owners in one process apart, as record locks by themselves do not: an exclusive transaction that writes nothing.
 */
export class OwnerLock {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #inode: bigint;

  private constructor(path: string, database: DatabaseSync, inode: bigint) {
    this.#path = path;
    this.#database = database;
    this.#inode = inode;
  }

  /**
   * @param file absolute; it need not be there
   * @param named what errors call it, and what each of two owners should have
   * @throws SourceError when another one owns it, or when it cannot be locked
   */
  static async take(
    file: string,
    named: { readonly what: string; readonly apart: string } = { what: `"${file}"`, apart: "a file of its own" },
  ): Promise<OwnerLock> {
    const { what, apart } = named;
    const path = join(dirname(file), `.${basename(file)}.lock`);
    for (let leftMs = WAIT_MS; ; leftMs -= LOOK_EVERY_MS) {
      const lock = await tryTake(path, what);
      if (lock !== null) return new OwnerLock(path, lock.database, lock.inode);
      if (leftMs <= 0) throw new SourceError(`${what} is owned by another custody: stop it, or give each ${apart}`);
      await sleep(LOOK_EVERY_MS);
    }
  }

  /** Whether what is locked is still what others would lock. */
  async isHeld(): Promise<boolean> {
    return (await inodeAt(this.#path)) === this.#inode;
  }

  release(): void {
    // Ends the transaction, and with it the lock.
    this.#database.close();
  }
}

/** @returns `null` while another process has it */
async function tryTake(path: string, what: string): Promise<{ database: DatabaseSync; inode: bigint } | null> {
  let database: DatabaseSync | null = null;
  try {
    await makeOnce(path);
    const { DatabaseSync } = await import("node:sqlite");
    database = new DatabaseSync(path, { timeout: 0 });
    database.exec("BEGIN EXCLUSIVE");
    const inode = await inodeAt(path);
    if (inode !== null) return { database, inode };
    database.close();
    return null;
  } catch (error) {
    database?.close();
    if (error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY) return null;
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new SourceError(`${what} cannot be locked (${code}): check its directory, and whether it may be written to`);
  }
}

/**
 * SQLite would make it open to others. A file that is there is not opened otherwise: to close it again would end the lock of
 * this process (fcntl(2) gives up all of them with the first descriptor that is closed).
 */
async function makeOnce(path: string): Promise<void> {
  if ((await inodeAt(path)) !== null) return;
  try {
    const made = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    await made.close();
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
}

async function inodeAt(path: string): Promise<bigint | null> {
  try {
    return (await lstat(path, { bigint: true })).ino;
  } catch {
    // Whatever keeps it from being seen: it is not known to be ours.
    return null;
  }
}
