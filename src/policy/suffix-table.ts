/**
 * Domain suffixes, found by walking a name once from its end and hashing as it goes: nothing is cut out of the name, so a look-up
 * leaves no garbage behind. At each dot there is one probe, and only where some suffix has that many labels; the walk ends with
 * the deepest suffix, however long the name is.
 */
export class SuffixTable<T> {
  readonly #entries = new Map<number, Entry<T>>();
  /** Whether there are suffixes of so many labels. */
  readonly #inUse: boolean[] = [];

  /** @returns the value that is there already, and stays; `null` when `value` was put in */
  add(suffix: string, value: T): T | null {
    const hash = suffixHash(suffix);
    const labels = suffix.split(".").length;
    const first = this.#entries.get(hash);
    for (let entry = first; entry !== undefined; entry = entry.next) if (entry.suffix === suffix) return entry.value;
    this.#entries.set(hash, { suffix, value, next: first });
    while (this.#inUse.length <= labels) this.#inUse.push(false);
    this.#inUse[labels] = true;
    return null;
  }

  /** The value of the longest suffix that `name` lies strictly below, as `a.example.com` does below `example.com`; or `null`. */
  find(name: string): T | null {
    let found: T | null = null;
    let hash = SEED;
    let labels = 0;
    const deepest = this.#inUse.length - 1;
    for (let i = name.length - 1; i > 0 && labels < deepest; i--) {
      const code = name.charCodeAt(i);
      if (code === DOT && this.#inUse[++labels] === true) found = this.#probe(hash, name, i + 1) ?? found;
      hash = mixed(hash, code);
    }
    return found;
  }

  #probe(hash: number, name: string, start: number): T | null {
    let entry = this.#entries.get(hash);
    // A guest may look for names whose hashes collide; each then costs one comparison.
    while (entry !== undefined && !(entry.suffix.length === name.length - start && name.endsWith(entry.suffix))) {
      entry = entry.next;
    }
    return entry?.value ?? null;
  }
}

interface Entry<T> {
  readonly suffix: string;
  readonly value: T;
  readonly next: Entry<T> | undefined;
}

const DOT = 0x2e;
const SEED = 0x811c9dc5 | 0;

/** FNV-1a over 32 bits, from the last character to the first. */
export function suffixHash(suffix: string): number {
  let hash = SEED;
  for (let i = suffix.length - 1; i >= 0; i--) hash = mixed(hash, suffix.charCodeAt(i));
  return hash;
}

function mixed(hash: number, code: number): number {
  return Math.imul(hash ^ code, 0x01000193);
}
