/**
 * What a lease is narrowed to, by the name of what is narrowed: `{ scopes: ["read"], repositories: ["docs"] }`. No list is
 * empty: what is to be left as wide as the entry is not named.
 */
export type Narrowing = Readonly<Record<string, readonly string[]>>;

/** The lists of a catalogue entry that a lease may be narrowed within, by the same names. */
export type Narrowable = Readonly<Record<string, readonly string[]>>;

/** Bounds of one narrowing: what is sent along with every lease call stays small. */
export const MOST_NARROW_NAMES = 16;
export const MOST_NARROW_VALUES = 100;
export const MOST_NARROW_CHARS = 4096;
/** Names of what is narrowed. */
export const NARROW_NAME = /^[a-z][a-z0-9_]{0,63}$/;

/** The one spelling of a narrowing: names and values in order, each once. */
export function canonicalNarrowing(narrow: Narrowing): Narrowing {
  const names = Object.keys(narrow).toSorted();
  const pairs = names.map((name) => [name, Object.freeze([...new Set(narrow[name])].toSorted())] as const);
  return Object.freeze(Object.fromEntries(pairs));
}

/** Characters of all names and values. */
export function narrowingChars(narrow: Narrowing): number {
  return Object.entries(narrow).reduce((sum, [name, values]) => sum + name.length + values.join("").length, 0);
}

/** The same text for narrowings that mean the same; `""` for none. */
export function narrowKey(narrow: Narrowing | undefined): string {
  return narrow === undefined ? "" : JSON.stringify(Object.entries(canonicalNarrowing(narrow)));
}

/**
 * Deny by default: a name that the entry has no list for, and a value that is not in it, are outside.
 * @returns the first that is, or `null` when all of it is within
 */
export function outsideOf(lists: Narrowable, narrow: Narrowing): Outside | null {
  for (const [name, values] of Object.entries(narrow)) {
    const list = Object.hasOwn(lists, name) ? (lists[name] ?? []) : [];
    if (values.length === 0) return { name, value: null };
    const value = values.find((one) => !list.includes(one));
    if (value !== undefined) return { name, value };
  }
  return null;
}

export interface Outside {
  readonly name: string;
  /** `null` when the list is empty. */
  readonly value: string | null;
}
