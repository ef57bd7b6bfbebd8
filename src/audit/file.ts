import path from "node:path";
import type { Disk } from "./disk.ts";

/** `moved`: the path leads elsewhere. `foreign`: somebody else appended. */
export type Disturbance = "moved" | "foreign";

/**
 * The file that is being written. Appending starts again from the very byte where a failure left it, so that no line is in
 * the file twice or half; turning over to a new file can be tried again at any point. One caller at a time.
 */
export class AuditFile {
  readonly #disk: Disk;
  readonly #path: string;
  #fd: number;
  #key: string;
  /** Size as this writer knows it. */
  #size: number;
  #rest: Buffer = Buffer.alloc(0);
  #dirty = false;

  private constructor(disk: Disk, file: string, fd: number, key: string, size: number) {
    this.#disk = disk;
    this.#path = file;
    this.#fd = fd;
    this.#key = key;
    this.#size = size;
  }

  /** @throws the error of the file system */
  static async open(disk: Disk, file: string, create: boolean): Promise<AuditFile> {
    const fd = await disk.open(file, create);
    const { key, size } = await disk.identity(fd);
    if (create) await disk.syncDirectory(path.dirname(file));
    return new AuditFile(disk, file, fd, key, size);
  }

  /** Bytes in the file. */
  get size(): number {
    return this.#size;
  }

  /** Lines for `append`. @param lines not to be changed until they are in the file */
  load(lines: Buffer): void {
    this.#rest = lines;
  }

  /** Appends what was loaded and is not in the file yet. */
  async append(): Promise<void> {
    while (this.#rest.length > 0) {
      this.#dirty = true;
      try {
        this.#landed(await this.#disk.append(this.#fd, this.#rest));
      } catch (error) {
        // A failed write may have stored a part; the file's size tells how much.
        const { size } = await this.#disk.identity(this.#fd);
        this.#landed(Math.min(Math.max(size - this.#size, 0), this.#rest.length));
        throw error;
      }
    }
  }

  #landed(bytes: number): void {
    this.#rest = this.#rest.subarray(bytes);
    this.#size += bytes;
  }

  async sync(): Promise<void> {
    if (!this.#dirty) return;
    await this.#disk.sync(this.#fd);
    this.#dirty = false;
  }

  async inspect(): Promise<Disturbance | null> {
    const own = await this.#disk.identity(this.#fd);
    const found = await this.#disk.lookAt(this.#path);
    if (found?.key !== this.#key) return "moved";
    if (own.size === this.#size) return null;
    this.#size = own.size;
    return "foreign";
  }

  /**
   * Renames the file to `archive` and goes on in a new one at the same path.
   * @param archive file name in the same directory; a number is added when it is taken
   */
  async turnOver(archive: string): Promise<void> {
    await this.sync();
    const directory = path.dirname(this.#path);
    const found = await this.#disk.lookAt(this.#path);
    // Somebody who moved the file and put an empty one in its place (logrotate's `create`) is not in the way.
    const empty = found !== null && found.key !== this.#key && found.isFile && found.size === 0;
    if (found?.key === this.#key) await this.#disk.rename(this.#path, await freeName(this.#disk, directory, archive));
    const fd = await this.#disk.open(this.#path, !empty);
    const old = this.#fd;
    try {
      const { key, size } = await this.#disk.identity(fd);
      await this.#disk.syncDirectory(directory);
      this.#fd = fd;
      this.#key = key;
      this.#size = size;
    } catch (error) {
      await this.#disk.close(fd);
      throw error;
    }
    // The old file is synced: closing it can lose nothing, and failing here would turn the new file over as well.
    await this.#disk.close(old).catch(() => undefined);
  }

  close(): Promise<void> {
    return this.#disk.close(this.#fd);
  }
}

/**
 * Moves a file that must not be appended to (its end is torn, or it was ended) out of the way, under its archive name.
 * @returns the new name, without directory
 */
export async function setAside(disk: Disk, file: string, archive: string): Promise<string> {
  const directory = path.dirname(file);
  const target = await freeName(disk, directory, path.basename(archive));
  await disk.rename(file, target);
  await disk.syncDirectory(directory);
  return path.basename(target);
}

/** A name that nothing has yet: renaming over an older archive would lose it. */
async function freeName(disk: Disk, directory: string, name: string): Promise<string> {
  const { name: stem, ext } = path.parse(name);
  for (let n = 1; n < 100; n++) {
    const candidate = path.join(directory, n === 1 ? name : `${stem}.${n}${ext}`);
    if ((await disk.lookAt(candidate)) === null) return candidate;
  }
  throw new Error(`audit.file: ${directory} holds a hundred archives named ${name}: move them away`);
}
