import type { Clock } from "../../core/clock.ts";
import type { FileReader } from "../../core/private-file.ts";
import { Secret } from "../../core/secret.ts";
import { ENTRY_NAME, ENTRY_NAME_ADVICE } from "../../core/secret-store.ts";
import { LatestRead } from "../sources/latest-read.ts";
import { MAX_ROOT_BYTES } from "../sources/source.ts";
import { type FileAccess, realDisk, replaceFile, type StoreDisk } from "./disk.ts";
import { asOnlyWriter } from "./lock.ts";
import { formOf, masterKey } from "./master-key.ts";
import { type RandomBytes, seal, unseal } from "./seal.ts";
import { StoreError, systemWord } from "./store-error.ts";
import { MAX_STORE_BYTES, storeFileBytes } from "./store-file.ts";
import type { StoreKey } from "./store-key.ts";
import { type Opened, StoreReader } from "./store-reader.ts";
import { placeOfValue, type StoredEntry, type StoredVersion, type StoreState } from "./store-state.ts";

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
  readonly #disk: StoreDisk;
  readonly #reader: StoreReader;
  readonly #reads: LatestRead<Opened>;

  /** Nothing is read yet. */
  constructor(options: SecretStoreOptions) {
    this.#options = options;
    this.file = options.file;
    this.timeoutMs = 2_000 + options.key.timeoutMs;
    this.#disk = options.disk ?? realDisk;
    this.#reader = new StoreReader(options.file, options.key, options.reader);
    this.#reads = new LatestRead(() => this.#reader.open());
  }

  /** @returns by name. @throws StoreError when the file cannot be opened */
  async list(): Promise<readonly EntryFacts[]> {
    const { state } = await this.#reads.run();
    return [...state.entries]
      .map(([name, { createdMs, current, previous }]) => ({
        name,
        version: current.version,
        createdMs,
        rotatedMs: current.atMs,
        previousVersion: previous?.version ?? null,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The version in force. @throws StoreError, `entry_unknown` among others */
  async read(name: string): Promise<StoredSecret> {
    const opened = await this.#reads.run();
    return this.#value(opened, name, this.#entry(opened.state, name).current);
  }

  /** The version before, or `null` when it was not kept. @throws StoreError as `read` */
  async readPrevious(name: string): Promise<StoredSecret | null> {
    const opened = await this.#reads.run();
    const { previous } = this.#entry(opened.state, name);
    return previous === null ? null : this.#value(opened, name, previous);
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
    return this.#change(async (opened) => {
      const entry = this.#entry(opened.state, name);
      const kept = entry.previous;
      if (kept === null)
        throw new StoreError(
          "entry_unknown",
          `"${name}" has no version before: it is kept by \`rotate --keep-previous\``,
        );
      const { secret } = this.#value(opened, name, kept);
      const current = this.#sealed(opened, name, entry.current.version + 1, secret);
      secret.zero();
      const next = { ...entry, current, previous: entry.current };
      return { entries: new Map(opened.state.entries).set(name, next), result: current.version };
    });
  }

  /** @throws StoreError, `entry_unknown` among others */
  remove(name: string): Promise<void> {
    return this.#change(async ({ state }) => {
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
        await this.#change(async (opened) => {
          const under = { ...opened, master, state: { ...opened.state, keyForm } };
          const again = (name: string, { version, atMs, box }: StoredVersion): StoredVersion => {
            const { secret } = this.#value(opened, name, { version, atMs, box });
            const sealed = { ...this.#sealed(under, name, version, secret), atMs };
            secret.zero();
            return sealed;
          };
          const entries = [...opened.state.entries].map(([name, entry]): [string, StoredEntry] => {
            const { current, previous } = entry;
            return [
              name,
              { ...entry, current: again(name, current), previous: previous === null ? null : again(name, previous) },
            ];
          });
          return { entries: new Map(entries), under, result: undefined };
        });
      } finally {
        master.fill(0);
      }
    } finally {
      text.zero();
    }
  }

  /** Zeroes the key. */
  close(): void {
    this.#reader.close();
  }

  /** @param mayWrite judges the entry that is there, and tells whether its value is kept */
  #write(name: string, secret: Secret, mayWrite: (entry: StoredEntry | null) => boolean): Promise<number> {
    mustFit(name, secret);
    return this.#change(async (opened) => {
      const before = opened.state.entries.get(name) ?? null;
      const keeps = mayWrite(before);
      const current = this.#sealed(opened, name, (before?.current.version ?? 0) + 1, secret);
      const entry: StoredEntry = {
        createdMs: before?.createdMs ?? current.atMs,
        current,
        previous: keeps && before !== null ? before.current : null,
      };
      return { entries: new Map(opened.state.entries).set(name, entry), result: current.version };
    }, true);
  }

  /**
   * One write: under the lock, on what is in the file by then.
   * @param mayMake whether a store that is not there is made
   */
  #change<T>(work: (opened: Opening) => Promise<Change<T>>, mayMake = false): Promise<T> {
    const { file, clock } = this.#options;
    return asOnlyWriter(file, clock, async () => {
      const before = await this.#openedOr(mayMake);
      const { entries, under = before, result } = await work(before);
      const state: StoreState = { ...under.state, generation: before.state.generation + 1, entries };
      await this.#store(state, under.master, before.file);
      return result;
    });
  }

  async #openedOr(mayMake: boolean): Promise<Opening> {
    try {
      return await this.#reader.open();
    } catch (error) {
      if (!(error instanceof StoreError) || error.fault !== "missing" || !mayMake || this.#reader.hasRead) throw error;
      const { randomBytes } = this.#options;
      const { form, master } = await this.#reader.newMaster((text) => formOf(text, randomBytes));
      const id = randomBytes(16).toString("base64");
      return { state: { id, keyForm: form, generation: 0, entries: new Map() }, master, file: null };
    }
  }

  async #store(state: StoreState, master: Buffer, before: Opening["file"]): Promise<void> {
    const { file, randomBytes } = this.#options;
    const bytes = storeFileBytes(state, master, randomBytes);
    if (bytes.length > MAX_STORE_BYTES)
      throw new StoreError(
        "unfit",
        `store "${file}" would be larger than ${MAX_STORE_BYTES} bytes: remove what is not needed`,
      );
    try {
      await replaceFile(this.#disk, file, bytes, before, randomBytes);
    } catch (error) {
      const next =
        "the secrets that were in it are safe; look whether the new one is, with `postern custody secret list`";
      throw new StoreError("inaccessible", `store "${file}" cannot be written (${systemWord(error)}): ${next}`);
    }
    // Nobody else writes at this moment, so this is the file that was put there.
    const after = await this.#reader.open().catch(() => null);
    if (after !== null) this.#options.onWrite?.(before?.identity ?? null, after.file.identity);
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

  #sealed({ state, master }: Opening, name: string, version: number, secret: Secret): StoredVersion {
    const { clock, randomBytes } = this.#options;
    const plain = Buffer.from(secret.reveal());
    const box = seal(master, placeOfValue(state.id, name, version), plain, randomBytes);
    return { version, atMs: Math.round(clock.wallMs()), box };
  }

  #value(
    { state, master }: Pick<Opened, "state" | "master">,
    name: string,
    { version, box }: StoredVersion,
  ): StoredSecret {
    const plain = unseal(master, placeOfValue(state.id, name, version), box);
    if (plain === null) throw this.#reader.damaged();
    const secret = Secret.of(plain.toString("utf8"));
    plain.fill(0);
    return { version, secret };
  }
}

/** What a write begins with; `file` is `null` when there is none yet. */
type Opening = Pick<Opened, "state" | "master"> & {
  readonly file: (FileAccess & { readonly identity: string }) | null;
};

interface Change<T> {
  readonly entries: StoreState["entries"];
  /** Another key to write with than the one that it was read with. */
  readonly under?: Opening;
  readonly result: T;
}

function mustStillBe(name: string, entry: StoredEntry | null, ifVersion: number | undefined): void {
  if (ifVersion === undefined || entry?.current.version === ifVersion) return;
  const now = entry === null ? "was removed" : `is at version ${entry.current.version} by now`;
  throw new StoreError("entry_changed", `"${name}" ${now}, not at ${ifVersion}: read it again`);
}

function mustFit(name: string, secret: Secret): void {
  if (!ENTRY_NAME.test(name))
    throw new StoreError("unfit", `${JSON.stringify(name.slice(0, 80))}: ${ENTRY_NAME_ADVICE}`);
  const bytes = Buffer.byteLength(secret.reveal());
  if (bytes === 0) throw new StoreError("unfit", `the value of "${name}" is empty: nothing was written: give it one`);
  if (bytes > MAX_ROOT_BYTES)
    throw new StoreError("unfit", `the value of "${name}" is larger than ${MAX_ROOT_BYTES} bytes: nothing was written`);
}
