import { syncDirectory } from "../sync-directory.ts";
import { constants } from "node:fs";
import { type FileHandle, open, readdir, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { RandomBytes } from "./seal.ts";

/** The steps of a write, one by one, so that a test can have each of them fail, or be the last one of the process. */
export interface StoreDisk {
  /** A new file of mode 0600; never one that is there. */
  create(path: string): Promise<FileHandle>;
  chown(file: FileHandle, uid: number, gid: number): Promise<void>;
  chmod(file: FileHandle, mode: number): Promise<void>;
  write(file: FileHandle, bytes: Buffer): Promise<void>;
  /** Returns once the bytes are on the disk. */
  sync(file: FileHandle): Promise<void>;
  close(file: FileHandle): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Returns once the names of a directory are on the disk. */
  syncDirectory(path: string): Promise<void>;
  remove(path: string): Promise<void>;
  list(directory: string): Promise<readonly string[]>;
}

export const realDisk: StoreDisk = {
  create: (path) => open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600),
  chown: (file, uid, gid) => file.chown(uid, gid),
  chmod: (file, mode) => file.chmod(mode),
  write: (file, bytes) => file.writeFile(bytes),
  sync: (file) => file.sync(),
  close: (file) => file.close(),
  rename,
  syncDirectory,
  remove: unlink,
  list: readdir,
};

/** Owner and mode of the file that takes the place of another one. */
export interface FileAccess {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/**
 * Puts a whole file into the place of another: at every moment, also of a crash or a power cut, the path leads to all of the old bytes
 * or to all of the new ones. Only one process may do this at a time (lock.ts). What earlier ones left behind when they were
 * killed is cleared away.
 * @param access of the file that is replaced, or `null` for a new one
 * @throws what the disk throws; nothing has changed then, unless it was the last step: then the new bytes are in place, and
 *   only whether they outlive a power cut is not known
 */
export async function replaceFile(
  disk: StoreDisk,
  path: string,
  bytes: Buffer,
  access: FileAccess | null,
  randomBytes: RandomBytes,
): Promise<void> {
  const directory = dirname(path);
  const prefix = `.${basename(path)}.`;
  for (const name of await disk.list(directory))
    if (name.startsWith(prefix) && TEMPORARY.test(name.slice(prefix.length))) await disk.remove(join(directory, name));
  const temporary = join(directory, `${prefix}${randomBytes(8).toString("hex")}.tmp`);
  const file = await disk.create(temporary);
  try {
    try {
      if (access !== null) await disk.chown(file, access.uid, access.gid);
      if (access !== null) await disk.chmod(file, access.mode);
      await disk.write(file, bytes);
      await disk.sync(file);
    } finally {
      await disk.close(file);
    }
    await disk.rename(temporary, path);
  } catch (error) {
    // If this fails as well, the next write clears it away.
    await disk.remove(temporary).catch(() => undefined);
    throw error;
  }
  await disk.syncDirectory(directory);
}

const TEMPORARY = /^[0-9a-f]{16}\.tmp$/;
