import { syncDirectory } from "./sync-directory.ts";
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Nothing that is kept this way comes near it, `bytes`. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const HASH_CHARS = 16;

/**
 * A small file of JSON lines that survives a crash: what `append` has resolved for is on disk. Each line begins with the head of
 * its SHA-256, so that a flipped bit is not read as something else. A last line without its end was never answered for and is
 * cut off; any other line that cannot be read makes the file unreadable.
 */
export class Journal {
  readonly #path: string;
  #file: FileHandle;
  #bytes: number;
  #lines: number;

  private constructor(path: string, file: FileHandle, bytes: number, lines: number) {
    this.#path = path;
    this.#file = file;
    this.#bytes = bytes;
    this.#lines = lines;
  }

  /**
   * @param first what a new or empty file begins with
   * @returns the journal, and what stands in it
   * @throws Error with a next step when it cannot be read whole: what it says is then not known
   */
  static async open(path: string, first: readonly unknown[]): Promise<{ journal: Journal; records: unknown[] }> {
    const text = await readWhole(path);
    if (text === null || text.length === 0) {
      const journal = await Journal.#begin(path, first);
      return { journal, records: [...first] };
    }
    const end = text.lastIndexOf(10) + 1;
    const lines = text.toString("utf8", 0, end).split("\n").slice(0, -1);
    const records = lines.map((line, i) => recordOf(line, `${path}:${i + 1}`));
    if (records.length === 0) throw unreadable(path, "holds no whole line");
    const file = await opened(path, constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW);
    if (end < text.length) {
      await file.truncate(end);
      await file.sync();
    }
    return { journal: new Journal(path, file, end, lines.length), records };
  }

  /** Lines that it holds. */
  get lines(): number {
    return this.#lines;
  }

  /** Resolves once the record would survive a crash. @throws Error when it would not: the file is then as it was before */
  async append(record: unknown): Promise<void> {
    const line = Buffer.from(lineOf(record));
    try {
      await writeWhole(this.#file, line);
      await this.#file.datasync();
    } catch (error) {
      // What may have been written was not answered for, and must not be found by the next start.
      await this.#file.truncate(this.#bytes);
      throw error;
    }
    this.#bytes += line.length;
    this.#lines++;
  }

  /** Replaces everything at once; a crash leaves the one or the other. */
  async rewrite(records: readonly unknown[]): Promise<void> {
    const { file, bytes } = await written(this.#path, records);
    const before = this.#file;
    this.#file = file;
    this.#bytes = bytes;
    this.#lines = records.length;
    await before.close();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  static async #begin(path: string, first: readonly unknown[]): Promise<Journal> {
    const { file, bytes } = await written(path, first);
    return new Journal(path, file, bytes, first.length);
  }
}

async function written(path: string, records: readonly unknown[]): Promise<{ file: FileHandle; bytes: number }> {
  const fresh = `${path}.new`;
  await rm(fresh, { force: true });
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await opened(fresh, flags);
  try {
    const bytes = Buffer.from(records.map(lineOf).join(""));
    await writeWhole(file, bytes);
    await file.sync();
    await rename(fresh, path);
    await syncDirectory(dirname(path));
    return { file, bytes: bytes.length };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** @returns `null` when there is none */
async function readWhole(path: string): Promise<Buffer | null> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw cannot(path, error);
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw unreadable(path, "is no regular file");
    if ((stat.mode & 0o022) !== 0) throw unreadable(path, "can be written by others: chmod 0600 it");
    if (stat.size > MAX_FILE_BYTES) throw unreadable(path, "is too large to be what custody wrote");
    return await file.readFile();
  } finally {
    await file.close();
  }
}

async function opened(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags, 0o600);
  } catch (error) {
    throw cannot(path, error);
  }
}

async function writeWhole(file: FileHandle, bytes: Buffer): Promise<void> {
  let at = 0;
  while (at < bytes.length) at += (await file.write(bytes, at)).bytesWritten;
}

function lineOf(record: unknown): string {
  const json = JSON.stringify(record);
  return `${hashOf(json)} ${json}\n`;
}

function recordOf(line: string, place: string): unknown {
  const json = line.slice(HASH_CHARS + 1);
  if (line.slice(0, HASH_CHARS + 1) !== `${hashOf(json)} `) throw unreadable(place, "was changed or damaged");
  return JSON.parse(json);
}

function hashOf(json: string): string {
  return createHash("sha256").update("postern-custody-journal\n").update(json).digest("hex").slice(0, HASH_CHARS);
}

const NEXT =
  "custody does not start without knowing what was revoked: restore the file, or remove it to lift everything";

export function unreadable(place: string, what: string): Error {
  return new Error(`state: ${place} ${what}: ${NEXT}`);
}

function cannot(path: string, error: unknown): Error {
  const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
  return new Error(
    `state: ${path} cannot be opened (${code}): name a plain file in a directory that custody may write to`,
    {
      cause: error,
    },
  );
}
