import type { Clock } from "../../core/clock.ts";
import type { FileReader } from "../../core/private-file.ts";
import type { Secret } from "../../core/secret.ts";
import { ENTRY_NAME, ENTRY_NAME_ADVICE } from "../../core/secret-store.ts";
import { LatestRead } from "../sources/latest-read.ts";
import { MAX_ROOT_BYTES } from "../sources/source.ts";
import { realDisk, type StoreDisk } from "./disk.ts";
import { formOf, masterKey } from "./master-key.ts";
import type { RandomBytes } from "./seal.ts";
import { StoreError } from "./store-error.ts";
import type { StoreKey } from "./store-key.ts";
import { type Opened, StoreReader } from "./store-reader.ts";
import type { StoredEntry, StoredVersion, StoreState } from "./store-state.ts";
import { openValue, resealed, sealValue } from "./store-values.ts";
import { type Change, type Opening, StoreWriter } from "./store-writer.ts";

export interface SecretStoreOptions {
  /** Absolute path; the file need not be there yet. */
  readonly file: string;
  readonly key: StoreKey;
  /** Who this process is, or `null` where the system has no users. */
  readonly reader: FileReader | null;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  readonly disk?: StoreDisk;
  /** Told what the file was and is, each as `fileIdentity` says it, after a write of this very store. */
  readonly onWrite?: ((before: string | null, after: string) => void) | undefined;
}

/** What may be told of an entry. */
export interface EntryFacts {
  readonly name: string;
  readonly version: number;
  /** Wall clock, ms. */
  readonly createdMs: number;
  /** Wall clock, ms, of the version in force. */
  readonly rotatedMs: number;
  /** The version before, where it was kept. */
  readonly previousVersion: number | null;
}

export interface StoredSecret {
  readonly version: number;
  /** Belongs to the reader, who zeroes it. */
  readonly secret: Secret;
}

export interface RotateOptions {
  /** Keeps the version in force beside the new one until the next rotation; else it is gone once the new one is durable. */
  readonly keepPrevious?: boolean;
  /** Nothing is written unless this version is still in force: whoever replaces what they have read does not undo another's write. */
  readonly ifVersion?: number;
}

/**
 * An encrypted file of secrets for those who have no other place for them (docs/decisions/0023). Any number of processes may use
 * one at a time: each write reads the file anew under a lock, and each of them is durable before it returns. Until then, and
 * whatever happens in between, the file is the old one.
 */
export class SecretStore {
  readonly file: string;
  /** Longest time that one read may take, `ms`: the file, and its key if it has to be read anew. */
  readonly timeoutMs: number;
  readonly #options: SecretStoreOptions;
  readonly #reader: StoreReader;
  readonly #reads: LatestRead<Opened>;
  readonly #writer: StoreWriter;
  #running = 0;
  #closed = false;

  /** Nothing is read yet. */
  constructor(options: SecretStoreOptions) {
    const { file, key, reader, clock, randomBytes, disk = realDisk, onWrite = () => undefined } = options;
    this.#options = options;
    this.file = file;
    this.timeoutMs = 2_000 + key.timeoutMs;
    this.#reader = new StoreReader(file, key, reader);
    this.#reads = new LatestRead(() => this.#reader.open());
    this.#writer = new StoreWriter({ file, clock, randomBytes, disk, onWrite }, this.#reader);
  }

  /** @returns by name. @throws StoreError when the file cannot be opened */
  list(): Promise<readonly EntryFacts[]> {
    return this.#holdingKey(async () => {
      const { state } = await this.#reads.run();
      return [...state.entries].map(factsOf).sort((a, b) => (a.name < b.name ? -1 : 1));
    });
  }

  /** The version in force. @throws StoreError, `entry_unknown` among others */
  read(name: string): Promise<StoredSecret> {
    return this.#holdingKey(async () => {
      const opened = await this.#reads.run();
      return this.#value(opened, name, this.#entry(opened.state, name).current);
    });
  }

  /** The version before, or `null` when it was not kept. @throws StoreError as `read` */
  readPrevious(name: string): Promise<StoredSecret | null> {
    return this.#holdingKey(async () => {
      const opened = await this.#reads.run();
      const { previous } = this.#entry(opened.state, name);
      return previous === null ? null : this.#value(opened, name, previous);
    });
  }

  /** A new entry. The store itself is made with its first one. @returns its version. @throws StoreError, `entry_exists` among others */
  create(name: string, secret: Secret): Promise<number> {
    return this.#write(name, secret, (entry) => {
      if (entry === null) return false;
      throw new StoreError("entry_exists", `"${name}" is in the store already: rotate it, or remove it first`);
    });
  }

  /** Another value of an entry. @returns its version. @throws StoreError, `entry_unknown` and `entry_changed` among others */
  rotate(name: string, secret: Secret, { keepPrevious = false, ifVersion }: RotateOptions = {}): Promise<number> {
    return this.#write(name, secret, (entry) => {
      if (entry === null) throw this.#unknown(name);
      mustStillBe(name, entry, ifVersion);
      return keepPrevious;
    });
  }

  /** As `create` where there is no such entry, as `rotate` where there is one. */
  put(name: string, secret: Secret, { keepPrevious = false, ifVersion }: RotateOptions = {}): Promise<number> {
    return this.#write(name, secret, (entry) => {
      mustStillBe(name, entry, ifVersion);
      return keepPrevious;
    });
  }

  /** Puts the value of the version before in force again, as a new version. @throws StoreError `entry_unknown` when none was kept */
  revert(name: string): Promise<number> {
    return this.#change((opening) => {
      const entry = this.#entry(opening.state, name);
      if (entry.previous === null)
        throw new StoreError(
          "entry_unknown",
          `"${name}" has no version before: it is kept by \`rotate --keep-previous\``,
        );
      const { secret } = this.#value(opening, name, entry.previous);
      const current = sealValue(opening, name, entry.current.version + 1, secret, this.#options);
      secret.zero();
      const next = { ...entry, current, previous: entry.current };
      return { entries: new Map(opening.state.entries).set(name, next), result: current.version };
    });
  }

  /** @throws StoreError, `entry_unknown` among others */
  remove(name: string): Promise<void> {
    return this.#change(({ state }) => {
      this.#entry(state, name);
      const entries = new Map(state.entries);
      entries.delete(name);
      return { entries, result: undefined };
    });
  }

  /**
   * Writes everything anew under another key. From then on this store, and every running custody, opens with that key alone: put it where
   * the config says.
   * @throws StoreError
   */
  async rekey(key: StoreKey): Promise<void> {
    const text = await key.read();
    try {
      const keyForm = formOf(text, this.#options.randomBytes);
      const master = await masterKey(text, keyForm);
      if (master === null) throw new TypeError("the form was made for this very key");
      try {
        await this.#change((opening) => {
          const under = { state: { ...opening.state, keyForm }, master };
          const entries = resealed(opening, under, this.#options);
          if (entries === null) throw this.#reader.damaged();
          return { entries, under, result: undefined };
        });
      } finally {
        master.fill(0);
      }
    } finally {
      text.zero();
    }
  }

  /**
   * Zeroes the key, once what runs is done with it. A minter may still have a token to put down that its issuer has given out
   * already: what is called later reads the key anew, and zeroes it behind.
   */
  close(): void {
    this.#closed = true;
    if (this.#running === 0) this.#reader.close();
  }

  /** @param mayWrite judges the entry that is there, and tells whether its value is kept */
  #write(name: string, secret: Secret, mayWrite: (entry: StoredEntry | null) => boolean): Promise<number> {
    return this.#change(
      (opening) => {
        const before = opening.state.entries.get(name) ?? null;
        const keeps = mayWrite(before);
        const current = sealValue(opening, name, (before?.current.version ?? 0) + 1, secret, this.#options);
        const entry: StoredEntry = {
          createdMs: before?.createdMs ?? current.atMs,
          current,
          previous: keeps && before !== null ? before.current : null,
        };
        return { entries: new Map(opening.state.entries).set(name, entry), result: current.version };
      },
      () => mustFit(name, secret),
    );
  }

  /** @param first called ahead of all; with it, a store that is not there is made */
  #change<T>(work: (opening: Opening) => Change<T>, first?: () => void): Promise<T> {
    return this.#holdingKey(async () => {
      first?.();
      return this.#writer.change(work, first !== undefined);
    });
  }

  /** A key that is zeroed under a write would seal with zeros. */
  async #holdingKey<T>(work: () => Promise<T>): Promise<T> {
    this.#running++;
    try {
      return await work();
    } finally {
      this.#running--;
      if (this.#closed && this.#running === 0) this.#reader.close();
    }
  }

  #entry(state: StoreState, name: string): StoredEntry {
    const entry = state.entries.get(name);
    if (entry === undefined) throw this.#unknown(name);
    return entry;
  }

  #unknown(name: string): StoreError {
    const next = `\`postern custody secret set ${name}\` puts it there`;
    return new StoreError("entry_unknown", `store "${this.file}" holds no "${name}": ${next}`);
  }

  #value(opened: Pick<Opened, "state" | "master">, name: string, stored: StoredVersion): StoredSecret {
    const secret = openValue(opened, name, stored);
    if (secret === null) throw this.#reader.damaged();
    return { version: stored.version, secret };
  }
}

function factsOf([name, { createdMs, current, previous }]: [string, StoredEntry]): EntryFacts {
  const { version, atMs: rotatedMs } = current;
  return { name, version, createdMs, rotatedMs, previousVersion: previous?.version ?? null };
}

function mustStillBe(name: string, entry: StoredEntry | null, ifVersion: number | undefined): void {
  if (ifVersion === undefined || entry?.current.version === ifVersion) return;
  const now = entry === null ? "was removed" : `is at version ${entry.current.version} by now`;
  throw new StoreError("entry_changed", `"${name}" ${now}, not at ${ifVersion}: read it again`);
}

function mustFit(name: string, secret: Secret): void {
  if (!ENTRY_NAME.test(name))
    // Not quoted: it may be the secret, in the wrong place.
    throw new StoreError("unfit", `the name of an entry: ${ENTRY_NAME_ADVICE}`);
  const bytes = Buffer.byteLength(secret.reveal());
  if (bytes === 0) throw new StoreError("unfit", `the value of "${name}" is empty: nothing was written: give it one`);
  if (bytes > MAX_ROOT_BYTES)
    throw new StoreError("unfit", `the value of "${name}" is larger than ${MAX_ROOT_BYTES} bytes: nothing was written`);
}
