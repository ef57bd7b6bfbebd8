import { constants } from "node:fs";
import * as fs from "node:fs";
import * as fsp from "node:fs/promises";
import { promisify } from "node:util";

/** The few calls that the audit makes on a file system; an argument, so that tests can fill the disk and break it. */
export interface Disk {
  /** Opens for appending (`O_APPEND`), makes the file with mode 0600 when `create`; never follows a link. */
  open(file: string, create: boolean): Promise<number>;
  /** One append. @returns bytes written, perhaps fewer than given */
  append(fd: number, bytes: Buffer): Promise<number>;
  sync(fd: number): Promise<void>;
  /** What the descriptor holds. */
  identity(fd: number): Promise<FileIdentity>;
  /** What stands at the path, or `null`. */
  lookAt(file: string): Promise<FileIdentity | null>;
  rename(from: string, to: string): Promise<void>;
  close(fd: number): Promise<void>;
  /** Makes names durable. */
  syncDirectory(directory: string): Promise<void>;
}

export interface FileIdentity {
  readonly size: number;
  /** Same file = same text. */
  readonly key: string;
  readonly isFile: boolean;
}

const identityOf = (stat: fs.Stats): FileIdentity => ({
  size: stat.size,
  key: `${stat.dev}:${stat.ino}`,
  isFile: stat.isFile(),
});

const open = promisify(fs.open);
const write = promisify(fs.write);
const fstat = promisify(fs.fstat);
const fdatasync = promisify(fs.fdatasync);
const closeFd = promisify(fs.close);

/** Plain descriptors instead of `FileHandle`: one write is two promises cheaper, and nothing is closed by the collector. */
export const realDisk: Disk = {
  open: (file, create) =>
    open(
      file,
      constants.O_WRONLY |
        constants.O_APPEND |
        constants.O_NOFOLLOW |
        (create ? constants.O_CREAT | constants.O_EXCL : 0),
      0o600,
    ),

  append: async (fd, bytes) => (await write(fd, bytes, 0, bytes.length, null)).bytesWritten,

  sync: (fd) => fdatasync(fd),

  identity: async (fd) => identityOf(await fstat(fd)),

  lookAt: async (file) => {
    try {
      return identityOf(await fsp.lstat(file));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  },

  rename: (from, to) => fsp.rename(from, to),

  close: (fd) => closeFd(fd),

  syncDirectory: async (directory) => {
    const handle = await fsp.open(directory, constants.O_RDONLY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};
