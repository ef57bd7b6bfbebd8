import { constants, type BigIntStats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { fileIdentity } from "../../core/file-identity.ts";
import type { Secret } from "../../core/secret.ts";
import { rootOf } from "./root-text.ts";
import {
  copyOf,
  type CredentialSource,
  MAX_ROOT_BYTES,
  type SourceContext,
  SourceError,
  type SourceReading,
} from "./source.ts";

/**
 * A root in a file. It is read for every lease and never held, so a rotated file counts from the next lease on and a removed
 * one gives none. Symbolic links are followed: mounted secrets are made of them.
 *
 * One read of a file runs at a time: a disk that hangs then holds one of the few threads that the process has for all of its
 * files and lookups, and not one a waiting guest. Whoever comes meanwhile shares the next read, which begins after they asked.
 */
export class FileSource implements CredentialSource {
  readonly reference: string;
  readonly timeoutMs = 2_000;
  readonly #path: string;
  readonly #uid: number | null;
  readonly #warn: (text: string) => void;
  readonly #isProjected: boolean;
  #warnedOf = "";
  #running: Promise<SourceReading> | null = null;
  #queued: Promise<SourceReading> | null = null;

  /**
   * @param path absolute
   * @param isProjected a service account's token: kubelets write it with mode 0644 where containers run as several users
   */
  constructor(path: string, context: Pick<SourceContext, "uid" | "warn">, isProjected = false) {
    this.#path = path;
    this.#uid = context.uid;
    this.#warn = context.warn;
    this.#isProjected = isProjected;
    this.reference = `file://${path.split("/").map(encodeURIComponent).join("/")}`;
  }

  async read(_fresh: boolean): Promise<SourceReading> {
    return copyOf(await (this.#running === null ? this.#start() : this.#next(this.#running)));
  }

  close(): void {
    // Nothing is held.
  }

  #start(): Promise<SourceReading> {
    this.#running = this.#shared().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #shared(): Promise<SourceReading> {
    const reading = await this.#read();
    // By then everybody who waited for this read has made a copy.
    setImmediate(() => reading.secret.zero());
    return reading;
  }

  #next(running: Promise<SourceReading>): Promise<SourceReading> {
    const begin = (): Promise<SourceReading> => {
      this.#queued = null;
      return this.#running ?? this.#start();
    };
    // What became of the read before is of no interest to this one.
    this.#queued ??= running.then(begin, begin);
    return this.#queued;
  }

  async #read(): Promise<SourceReading> {
    const file = await this.#open();
    try {
      const stat = await file.stat({ bigint: true });
      this.#check(stat);
      return { username: null, secret: await this.#load(file, fileIdentity(stat)), expiresAtMs: null };
    } finally {
      await file.close();
    }
  }

  get #where(): string {
    return `file "${this.#path}"`;
  }

  async #open(): Promise<FileHandle> {
    try {
      // Without O_NONBLOCK a named pipe in this place would hang the open.
      return await open(this.#path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
      throw new SourceError(`${this.#where} cannot be opened (${code}): check path and owner`);
    }
  }

  #check(stat: BigIntStats): void {
    const mode = Number(stat.mode & 0o777n);
    const octal = mode.toString(8).padStart(4, "0");
    if (!stat.isFile()) throw new SourceError(`${this.#where} is not a regular file`);
    if (this.#uid !== null && stat.uid !== 0n && stat.uid !== BigInt(this.#uid)) {
      throw new SourceError(`${this.#where} belongs to user ${stat.uid}: chown it to root or to user ${this.#uid}`);
    }
    if (this.#isProjected && (mode & 0o022) === 0) return;
    if ((mode & 0o007) !== 0) throw new SourceError(`${this.#where} is open to everybody (mode ${octal}): chmod 0400`);
    if ((mode & 0o070) === 0 || this.#warnedOf === octal) return;
    this.#warnedOf = octal;
    this.#warn(`${this.#where} is open to its group (mode ${octal}): chmod 0400 unless the group is meant to read it`);
  }

  async #load(file: FileHandle, identity: string): Promise<Secret> {
    const bytes = Buffer.allocUnsafeSlow(MAX_ROOT_BYTES + 1);
    try {
      const length = await readWhole(file, bytes);
      if (length > MAX_ROOT_BYTES) throw new SourceError(`${this.#where} is larger than ${MAX_ROOT_BYTES} bytes`);
      if (fileIdentity(await file.stat({ bigint: true })) !== identity) {
        throw new SourceError(`${this.#where} is being written: replace it by renaming a finished file over it`);
      }
      return rootOf(bytes.toString("utf8", 0, length), this.#where);
    } finally {
      bytes.fill(0);
    }
  }
}

/** Fills `bytes` until the file ends or they are full. @returns how many were read */
async function readWhole(file: FileHandle, bytes: Buffer): Promise<number> {
  let length = 0;
  while (length < bytes.length) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}
