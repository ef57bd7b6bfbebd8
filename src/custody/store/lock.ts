import type { Clock } from "../../core/clock.ts";
import { KernelLock, lockFileOf } from "../kernel-lock.ts";
import { StoreError, systemWord } from "./store-error.ts";

/** How long a writer waits for another one, `ms`: a write takes milliseconds, and a disk that hangs is nobody's turn. */
const PATIENCE_MS = 10_000;
const RETRY_MS = 15;

/** Within one process writers stand in line here: record locks do not tell its parts apart. */
const lines = new Map<string, Promise<unknown>>();

/**
 * One writer at a time of all processes that see the file.
 * @throws StoreError `inaccessible` when the lock cannot be had; else what `work` throws
 */
export function asOnlyWriter<T>(path: string, clock: Clock, work: () => Promise<T>): Promise<T> {
  const lockPath = lockFileOf(path);
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
  const lock = await openLock(lockPath, path);
  try {
    await begin(lock, path, clock);
    return await work();
  } finally {
    lock.close();
  }
}

async function openLock(lockPath: string, path: string): Promise<KernelLock> {
  try {
    return await KernelLock.open(lockPath);
  } catch (error) {
    const next = "it needs a directory that is there and that this user may write to";
    throw new StoreError("inaccessible", `store "${path}" cannot be locked (${systemWord(error)}): ${next}`);
  }
}

async function begin(lock: KernelLock, path: string, clock: Clock): Promise<void> {
  const untilMs = clock.monotonicMs() + PATIENCE_MS;
  while (!tryBegin(lock, path)) {
    if (clock.monotonicMs() >= untilMs)
      throw new StoreError(
        "inaccessible",
        `store "${path}" is being written by another process for ${PATIENCE_MS / 1000} s: try again, or find out which one hangs`,
      );
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

function tryBegin(lock: KernelLock, path: string): boolean {
  try {
    return lock.tryTake();
  } catch (error) {
    const word = error instanceof Error && "errstr" in error ? String(error.errstr) : systemWord(error);
    throw new StoreError("inaccessible", `store "${path}" cannot be locked (${word}): check its directory`);
  }
}
