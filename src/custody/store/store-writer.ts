import type { Clock } from "../../core/clock.ts";
import { type FileAccess, replaceFile, type StoreDisk } from "./disk.ts";
import { asOnlyWriter } from "./lock.ts";
import { formOf } from "./master-key.ts";
import type { RandomBytes } from "./seal.ts";
import { StoreError, systemWord } from "./store-error.ts";
import { MAX_STORE_BYTES, storeFileBytes } from "./store-file.ts";
import type { Opened, StoreReader } from "./store-reader.ts";
import type { StoreState } from "./store-state.ts";

/** What a write begins with; `file` is `null` when there is none yet. */
export type Opening = Pick<Opened, "state" | "master"> & {
  readonly file: (FileAccess & { readonly identity: string }) | null;
};

/** What a write ends with. */
export interface Change<T> {
  readonly entries: StoreState["entries"];
  /** Another key to write with than the one that it was read with. */
  readonly under?: Pick<Opening, "state" | "master">;
  readonly result: T;
}

export interface StoreWriterOptions {
  readonly file: string;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  readonly disk: StoreDisk;
  /** Told what the file was and is, each as `fileIdentity` says it, after a write. */
  readonly onWrite: (before: string | null, after: string) => void;
}

/** Writes a store: one at a time of all processes, each on what is in the file by then, durable before it is told. */
export class StoreWriter {
  readonly #options: StoreWriterOptions;
  readonly #reader: StoreReader;

  constructor(options: StoreWriterOptions, reader: StoreReader) {
    this.#options = options;
    this.#reader = reader;
  }

  /**
   * @param work makes of what is there what is to be there; nothing is written when it throws
   * @param mayMake whether a store that is not there is made
   * @throws StoreError, and what `work` throws
   */
  change<T>(work: (opening: Opening) => Change<T>, mayMake = false): Promise<T> {
    const { file, clock } = this.#options;
    return asOnlyWriter(file, clock, async () => {
      const before = await this.#begin(mayMake);
      const { entries, under = before, result } = work(before);
      await this.#put({ ...under.state, generation: before.state.generation + 1, entries }, under.master, before.file);
      return result;
    });
  }

  async #begin(mayMake: boolean): Promise<Opening> {
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

  async #put(state: StoreState, master: Buffer, before: Opening["file"]): Promise<void> {
    const { file, disk, randomBytes, onWrite } = this.#options;
    const bytes = storeFileBytes(state, master, randomBytes);
    if (bytes.length > MAX_STORE_BYTES)
      throw new StoreError(
        "unfit",
        `store "${file}" would be larger than ${MAX_STORE_BYTES} bytes: remove what is not needed`,
      );
    try {
      await replaceFile(disk, file, bytes, before, randomBytes);
    } catch (error) {
      const next =
        "the secrets that were in it are safe; look whether the new one is, with `postern custody secret list`";
      throw new StoreError("inaccessible", `store "${file}" cannot be written (${systemWord(error)}): ${next}`);
    }
    // Nobody else writes at this moment, so this is the file that was put there. Under another key it does not open here any more.
    const after = await this.#reader.open().catch(() => null);
    if (after !== null) onWrite(before?.identity ?? null, after.file.identity);
  }
}
