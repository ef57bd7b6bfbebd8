import { constants } from "node:fs";
import { lstat, open, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../core/clock.ts";
import { StoreError, systemWord } from "./store-error.ts";

/** How long a writer waits for another one, `ms`: a write takes milliseconds, and a disk that hangs is nobody's turn. */
const PATIENCE_MS = 10_000;
const RETRY_MS = 15;
const SQLITE_BUSY = 5;

/** Within one process writers stand in line here: record locks do not tell its parts apart. */
const lines = new Map<string, Promise<unknown>>();

/**
 * One writer at a time of all processes that see the file. What is locked is an empty file beside the store, which stays; the lock is a record
 * lock of the kernel (fcntl), which goes with its process however that dies, so that there is nothing stale to find and
 * no moment at which two could take over. Of what Node brings only `node:sqlite` reaches it: an exclusive transaction that writes nothing.
 * @throws StoreError `inaccessible` when the lock cannot be had; else what `work` throws
 */
export function asOnlyWriter<T>(path: string, clock: Clock, work: () => Promise<T>): Promise<T> {
  const lockPath = join(dirname(path), `.${basename(path)}.lock`);
  const turn = (lines.get(lockPath) ?? Promise.resolve()).then(() => locked(lockPath, path, clock, work));
  const over = turn.then(
    () => undefined,
    () => undefined,
  );
  lines.set(lockPath, over);
  void over.then(() => {
    if (lines.get(lockPath) === over) lines.delete(lockPath);
  });
  return turn;
}

async function locked<T>(lockPath: string, path: string, clock: Clock, work: () => Promise<T>): Promise<T> {
  const database = await openLock(lockPath, path);
  try {
    await begin(database, path, clock);
    return await work();
  } finally {
    // Ends the transaction, and with it the lock.
    database.close();
  }
}

async function openLock(lockPath: string, path: string): Promise<DatabaseSync> {
  try {
    await makeOnce(lockPath);
    const { DatabaseSync } = await import("node:sqlite");
    return new DatabaseSync(lockPath, { timeout: 0 });
  } catch (error) {
    const next = "it needs a directory that is there and that this user may write to";
    throw new StoreError("inaccessible", `store "${path}" cannot be locked (${systemWord(error)}): ${next}`);
  }
}

/**
 * SQLite would make it open to others. A file that is there is not opened: to close it again would end the lock of a neighbour in
 * this process (fcntl(2) gives up all locks of a process with the first descriptor that it closes).
 */
async function makeOnce(lockPath: string): Promise<void> {
  if ((await lstat(lockPath).catch(() => null)) !== null) return;
  try {
    const file = await open(lockPath, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      // Made by root, it is still for the user whose directory this is.
      const { uid, gid } = await stat(dirname(lockPath));
      if (process.geteuid?.() === 0) await file.chown(uid, gid);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemWord(error) !== "EEXIST") throw error;
  }
}

async function begin(database: DatabaseSync, path: string, clock: Clock): Promise<void> {
  const untilMs = clock.monotonicMs() + PATIENCE_MS;
  while (!tryBegin(database, path)) {
    if (clock.monotonicMs() >= untilMs)
      throw new StoreError(
        "inaccessible",
        `store "${path}" is being written by another process for ${PATIENCE_MS / 1000} s: try again, or find out which one hangs`,
      );
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

function tryBegin(database: DatabaseSync, path: string): boolean {
  try {
    database.exec("BEGIN EXCLUSIVE");
    return true;
  } catch (error) {
    if (error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY) return false;
    const word = error instanceof Error && "errstr" in error ? String(error.errstr) : systemWord(error);
    throw new StoreError("inaccessible", `store "${path}" cannot be locked (${word}): check its directory`);
  }
}
