/** A document without the items of its one long list, and those items as texts that are documents of their own. */
export interface ListPieces {
  readonly rest: string;
  readonly pieces: readonly string[];
}

/** Below this a text is read in one go. */
const WORTH_IT_CHARS = 200_000;
const PIECE_CHARS = 65_536;

/**
 * Cuts the block list under the top-level key `key` into pieces between its items. In YAML 1.2 every line of an item, block
 * scalars and continued quotes included, is indented deeper than the item's dash (§8.2.1, §6.1), so a line that begins with the dash
 * at the list's own depth begins an item. A text for which that does not hold is not valid YAML, and fails in its pieces.
 * @returns `null` when the text is short or has no such list
 */
export function listPieces(text: string, key: string): ListPieces | null {
  if (text.length < WORTH_IT_CHARS) return null;
  const head = new RegExp(`^${key}:[ \\t]*(?:#.*)?\\r?\\n`, "m").exec(text);
  if (head === null) return null;
  const start = head.index + head[0].length;
  const first = /^(?:[ \t]*(?:#.*)?\r?\n)*( *)- /.exec(text.slice(start, start + PIECE_CHARS));
  if (first === null) return null;
  const indent = first[1] as string;
  const end = endOfList(text, start, indent);
  const pieces: string[] = [];
  const dash = `\n${indent}- `;
  for (let from = start; from < end;) {
    const next = text.indexOf(dash, from + PIECE_CHARS);
    const to = next < 0 || next >= end ? end : next + 1;
    pieces.push(text.slice(from, to));
    from = to;
  }
  return { rest: text.slice(0, start) + text.slice(end), pieces };
}

/** The first line after `start` that belongs to the top level again. */
function endOfList(text: string, start: number, indent: string): number {
  const line = indent === "" ? /^(?!- )[^\s#]/gm : /^[^\s#]/gm;
  line.lastIndex = start;
  return line.exec(text)?.index ?? text.length;
}
