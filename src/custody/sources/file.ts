import { constants, type BigIntStats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { formatReference } from "../../core/canonical-reference.ts";
import { fileIdentity } from "../../core/file-identity.ts";
import type { Secret } from "../../core/secret.ts";
import { referenceOfSource } from "../../core/source-reference.ts";
import { LatestRead } from "./latest-read.ts";
import { rootOf, textOf } from "./root-text.ts";
import {
  copyOf,
  type CredentialSource,
  MAX_ROOT_BYTES,
  type SourceContext,
  SourceError,
  type SourceReading,
} from "./source.ts";

/** A file that is rotated is another one at the next look; one that changes at each is being written. */
const MOST_TRIES = 3;

/**
 * A root in a file. It is read for every lease and never held, so a rotated file counts from the next lease on and a removed
 * one gives none. Symbolic links are followed: mounted secrets are made of them.
 */
export class FileSource implements CredentialSource {
  readonly reference: string;
  readonly timeoutMs = 2_000;
  readonly #path: string;
  readonly #uid: number | null;
  readonly #warn: (text: string) => void;
  readonly #reads = new LatestRead(() => this.#shared());
  readonly #isProjected: boolean;
  #warnedOf = "";

  /**
   * @param path absolute
   * @param isProjected a service account's token: kubelets write it with mode 0644 where containers run as several users
   */
  constructor(path: string, context: Pick<SourceContext, "uid" | "warn">, isProjected = false) {
    this.#path = path;
    this.#uid = context.uid;
    this.#warn = context.warn;
    this.#isProjected = isProjected;
    this.reference = formatReference(referenceOfSource({ from: "file", path }));
  }

  async read(_fresh: boolean): Promise<SourceReading> {
    return copyOf(await this.#reads.run());
  }

  close(): void {
    // Nothing is held.
  }

  async #shared(): Promise<SourceReading> {
    const reading = await this.#read();
    // By then everybody who waited for this read has made a copy.
    setImmediate(() => reading.secret.zero());
    return reading;
  }

  async #read(): Promise<SourceReading> {
    for (let tries = 1; ; tries++) {
      const secret = await this.#readOnce();
      if (secret !== null) return { username: null, secret, expiresAtMs: null };
      if (tries === MOST_TRIES)
        throw new SourceError(`${this.#where} is being written: replace it by renaming a finished file over it`);
    }
  }

  /** @returns `null` when another file took its place meanwhile, which looks like a change of this one, or it was written to */
  async #readOnce(): Promise<Secret | null> {
    const file = await this.#open();
    try {
      const stat = await file.stat({ bigint: true });
      this.#check(stat);
      return await this.#load(file, fileIdentity(stat));
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
    if (!stat.isFile()) throw new SourceError(`${this.#where} is not a regular file: name one`);
    if (this.#uid !== null && stat.uid !== 0n && stat.uid !== BigInt(this.#uid)) {
      throw new SourceError(`${this.#where} belongs to user ${stat.uid}: chown it to root or to user ${this.#uid}`);
    }
    if (this.#isProjected && (mode & 0o022) === 0) return;
    if ((mode & 0o007) !== 0) throw new SourceError(`${this.#where} is open to everybody (mode ${octal}): chmod 0400`);
    if ((mode & 0o070) === 0 || this.#warnedOf === octal) return;
    this.#warnedOf = octal;
    this.#warn(`${this.#where} is open to its group (mode ${octal}): chmod 0400 unless the group is meant to read it`);
  }

  async #load(file: FileHandle, identity: string): Promise<Secret | null> {
    const bytes = Buffer.allocUnsafeSlow(MAX_ROOT_BYTES + 1);
    try {
      const length = await readWhole(file, bytes);
      if (length > MAX_ROOT_BYTES)
        throw new SourceError(`${this.#where} is larger than ${MAX_ROOT_BYTES} bytes: is it the right one?`);
      if (fileIdentity(await file.stat({ bigint: true })) !== identity) return null;
      return rootOf(textOf(bytes.subarray(0, length), this.#where), this.#where);
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
