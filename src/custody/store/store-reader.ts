import type { FileReader } from "../../core/private-file.ts";
import type { StoreKey } from "./store-key.ts";
import { type KeyForm, masterKey } from "./master-key.ts";
import { type PrivateFile, readPrivate } from "./private-read.ts";
import { StoreError } from "./store-error.ts";
import { isKeyOf, MAX_STORE_BYTES, openStoreFile, parseStoreFile, type SealedFile } from "./store-file.ts";
import type { StoreState } from "./store-state.ts";

/** A store as it was read, with the key that opens what is in it. */
export interface Opened {
  readonly state: StoreState;
  readonly master: Buffer;
  readonly file: Omit<PrivateFile, "bytes">;
}

/**
 * Reads and opens the file of a store. What was opened is kept while the file stays the same one: a lease then costs one look at
 * the file and one value. The master key stays in memory, since a passphrase takes half a second to stretch and a helper to ask; it is made anew
 * when it does not open the file any more.
 */
export class StoreReader {
  readonly #path: string;
  readonly #key: StoreKey;
  readonly #reader: FileReader | null;
  readonly #masters = new Map<string, Buffer>();
  /** Every master key that was in use: a value may be being opened with one that was replaced. */
  readonly #made: Buffer[] = [];
  #last: Opened | null = null;
  /** The newest that was read, also beyond `close`: sealed as it is, and what must not be fallen behind. */
  #newest: StoreState | null = null;

  constructor(path: string, key: StoreKey, reader: FileReader | null) {
    this.#path = path;
    this.#key = key;
    this.#reader = reader;
  }

  /** @throws StoreError */
  async open(): Promise<Opened> {
    const [last, newest] = [this.#last, this.#newest];
    const known = last === null ? {} : { known: last.file.identity };
    const file = await readPrivate({
      path: this.#path,
      what: "store",
      reader: this.#reader,
      maxBytes: MAX_STORE_BYTES,
      mayBeLink: false,
      missing: "`postern custody secret set NAME` makes it",
      ...known,
    });
    if (file === null && last !== null) return last;
    if (file === null) throw new TypeError("nothing is known yet");
    const { bytes, ...access } = file;
    const sealed = parseStoreFile(bytes);
    if (sealed === null) throw this.damaged();
    const master = await this.#masterFor(sealed);
    const state = openStoreFile(sealed, master);
    if (state === null) throw this.damaged();
    return this.#keep({ state, master, file: access }, newest);
  }

  /** Whether this process knows the store: one that has gone since is not begun anew. */
  get hasRead(): boolean {
    return this.#newest !== null;
  }

  /** The master key of a form that nothing is written with yet. @throws StoreError */
  async newMaster(
    formOf: (text: Awaited<ReturnType<StoreKey["read"]>>) => KeyForm,
  ): Promise<{ form: KeyForm; master: Buffer }> {
    const text = await this.#key.read();
    try {
      const form = formOf(text);
      const master = await masterKey(text, form);
      if (master === null) throw new TypeError("the form was made for this very key");
      this.#made.push(master);
      this.#masters.set(JSON.stringify(form), master);
      return { form, master };
    } finally {
      text.zero();
    }
  }

  damaged(): StoreError {
    return new StoreError(
      "damaged",
      `store "${this.#path}" is damaged, or no store at all: put back a copy, or move it away and set its secrets anew`,
    );
  }

  /** Zeroes the keys. */
  close(): void {
    for (const master of this.#made) master.fill(0);
    this.#masters.clear();
    this.#made.length = 0;
    this.#last = null;
  }

  /** @param before what was known when the reading began: a write that came meanwhile is no sign of anything */
  #keep(next: Opened, before: StoreState | null): Opened {
    if (before !== null && !follows(next.state, before)) throw this.#rolledBack();
    const newest = this.#newest;
    if (newest !== null && newest !== before) {
      if (newest.id !== next.state.id) throw this.#rolledBack();
      // What was read is old news already, and true of the moment that it was asked for.
      if (newest.generation > next.state.generation) return next;
    }
    this.#newest = next.state;
    this.#last = next;
    return next;
  }

  #rolledBack(): StoreError {
    return new StoreError(
      "rolled_back",
      `store "${this.#path}" is an older one, or another one, than was read before: if you put it there, restart the custody; if not, somebody else did`,
    );
  }

  async #masterFor(sealed: SealedFile): Promise<Buffer> {
    const form = JSON.stringify(sealed.keyForm);
    const known = this.#masters.get(form);
    if (known !== undefined && isKeyOf(sealed, known)) return known;
    const text = await this.#key.read();
    try {
      const master = await masterKey(text, sealed.keyForm);
      if (master === null || !isKeyOf(sealed, master)) throw this.#wrongKey(sealed.keyForm, master);
      this.#made.push(master);
      this.#masters.set(form, master);
      return master;
    } finally {
      text.zero();
    }
  }

  #wrongKey({ form }: KeyForm, master: Buffer | null): StoreError {
    const why =
      master !== null
        ? "is not the one that it was written with"
        : form === "raw"
          ? "is a passphrase, and it was written with a key of 32 bytes"
          : "has 32 bytes, and it was written with a passphrase";
    return new StoreError(
      "wrong_key",
      `store "${this.#path}" does not open: its key ${why}: give it that key; without it nothing in there can be had again`,
    );
  }
}

/** A file that was put back has a lower generation, or says something else in the same one. */
function follows(next: StoreState, before: StoreState): boolean {
  if (next.id !== before.id) return false;
  return next.generation === before.generation ? isSame(next, before) : next.generation > before.generation;
}

function isSame(a: StoreState, b: StoreState): boolean {
  return (
    a.entries.size === b.entries.size &&
    [...a.entries].every(([name, { current, previous }]) => {
      const other = b.entries.get(name);
      return other !== undefined && current.box.equals(other.current.box) && boxOf(previous) === boxOf(other.previous);
    })
  );
}

function boxOf(version: { readonly box: Buffer } | null): string | null {
  return version === null ? null : version.box.toString("base64");
}
