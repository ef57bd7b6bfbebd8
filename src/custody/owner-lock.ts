import { lstat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { KernelLock, lockFileOf } from "./kernel-lock.ts";
import { SourceError } from "./sources/source.ts";

/** One that is being closed is waited for: a reload hands a file over within one process. */
const WAIT_MS = 2_000;
const LOOK_EVERY_MS = 50;

/** One owner a file, across the processes of one machine and within each. */
export class OwnerLock {
  readonly #path: string;
  readonly #kernel: KernelLock;
  readonly #inode: bigint;

  private constructor(path: string, kernel: KernelLock, inode: bigint) {
    this.#path = path;
    this.#kernel = kernel;
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
    const path = lockFileOf(file);
    for (let leftMs = WAIT_MS; ; leftMs -= LOOK_EVERY_MS) {
      const lock = await tryTake(path, what);
      if (lock !== null) return new OwnerLock(path, lock.kernel, lock.inode);
      if (leftMs <= 0) throw new SourceError(`${what} is owned by another custody: stop it, or give each ${apart}`);
      await sleep(LOOK_EVERY_MS);
    }
  }

  /** Whether what is locked is still what others would lock. */
  async isHeld(): Promise<boolean> {
    return (await inodeAt(this.#path)) === this.#inode;
  }

  release(): void {
    this.#kernel.close();
  }
}

/** @returns `null` while another process has it */
async function tryTake(path: string, what: string): Promise<{ kernel: KernelLock; inode: bigint } | null> {
  let kernel: KernelLock | null = null;
  try {
    kernel = await KernelLock.open(path);
    const inode = kernel.tryTake() ? await inodeAt(path) : null;
    if (inode !== null) return { kernel, inode };
    kernel.close();
    return null;
  } catch (error) {
    kernel?.close();
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new SourceError(`${what} cannot be locked (${code}): check its directory, and whether it may be written to`);
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
