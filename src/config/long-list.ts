import { load, YAMLException } from "js-yaml";

/** A document whose one long list is read item by item, each of which can be forgotten before the next is read. */
export interface LongList {
  /** The document with an empty list in its place. */
  readonly rest: Readonly<Record<string, unknown>>;
  /** The text of each item in order, its dash and what stands before that included. What is in it is not looked at. */
  readonly items: Iterable<string>;
}

/** Below this a text is read in one go. */
const WORTH_IT_CHARS = 200_000;
/** What may stand between the key and the first dash. */
const MOST_PREFACE_CHARS = 65_536;

/** `^` would also match behind U+2028 and U+2029, which end no line in YAML (§5.4), nor a comment. */
const LINE_START = "(?<![^\\n\\r])";
const DIRECTIVE = new RegExp(`${LINE_START}%`);

/**
 * Cuts the block list under the top-level key `key` between its items: reading 100,000 destinations in one go is mostly garbage
 * collection. In YAML 1.2 every line of an item, block scalars and continued quotes included, is indented deeper than the item's
 * dash (§8.2.1, §6.1), so a line that begins with the dash at the list's own depth begins an item. A text for which that
 * does not hold is not valid YAML, and fails in its items; so does one with aliases. Whoever sees a failure reads it whole.
 * @returns `null` when the text is short or has no such list
 */
export function longList(text: string, key: string): LongList | null {
  if (text.length < WORTH_IT_CHARS) return null;
  const head = new RegExp(`${LINE_START}${key}:[ \\t]*(?:#.*)?\\r?\\n`).exec(text);
  if (head === null) return null;
  const start = head.index + head[0].length;
  // A directive (§6.8) holds for the items as well, which would be read without it.
  if (DIRECTIVE.test(text.slice(0, start))) return null;
  const first = /^(?:[ \t]*(?:#.*)?\r?\n)*( *)- /.exec(text.slice(start, start + MOST_PREFACE_CHARS));
  if (first === null) return null;
  const indent = first[1] as string;
  const end = endOfList(text, start, indent);
  const rest = restOf(text.slice(0, start) + text.slice(end), key);
  return rest === null ? null : { rest, items: items(text, start, end, `\n${indent}- `) };
}

/** The first line after `start` that belongs to the top level again. */
function endOfList(text: string, start: number, indent: string): number {
  const line = new RegExp(`${LINE_START}${indent === "" ? "(?!- )" : ""}[^\\s#]`, "g");
  line.lastIndex = start;
  return line.exec(text)?.index ?? text.length;
}

function restOf(text: string, key: string): Record<string, unknown> | null {
  try {
    const value = load(text, { maxAliases: 0 });
    if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
    // Anything left of the list means that its end was not found.
    return Reflect.get(value, key) === null ? { ...value, [key]: [] } : null;
  } catch (error) {
    if (error instanceof YAMLException) return null;
    throw error;
  }
}

function* items(text: string, start: number, end: number, dash: string): Generator<string> {
  // The break before the first dash may be the one that ends the line of the key.
  const first = text.startsWith(dash, start - 1) ? start : text.indexOf(dash, start) + 1;
  for (let from = start, at = first; from < end;) {
    const next = text.indexOf(dash, at);
    const to = next < 0 || next >= end ? end : next + 1;
    yield text.slice(from, to);
    from = at = to;
  }
}
