import { percentDecode } from "./percent.ts";

/** What is inside every stand-in (the config holds values to it), so that one search tells a head that can hold one. */
export const MARK = "postern-";

/** The mark inside base64, at the three places that it can have within a group: the characters no neighbour decides. */
const ENCODED_MARKS = [0, 1, 2].map((before) => {
  const text = Buffer.from("x".repeat(before) + MARK, "latin1").toString("base64");
  return text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + MARK.length) * 8) / 6));
}) as [string, string, string];

/** More marks than this in one head are no client's doing; looking each of them up is what an attacker would want. */
const MARK_LIMIT = 64;

/** Every stand-in of the whole config, of all destinations. */
export class StandIns {
  #values: Set<string> = new Set();
  /** Distinct (characters before the mark, length) of the values: leftmost first, then longest. */
  #shapes: readonly Shape[] = [];

  /** Counts the policies seen: what was learned for an earlier one is forgotten. */
  generation = 0;

  get isEmpty(): boolean {
    return this.#shapes.length === 0;
  }

  /** Takes the place of all values known so far. @param values those without the mark cannot be found and are left out */
  set(values: Iterable<string>): void {
    this.generation++;
    this.#keep(values);
  }

  /** Adds what is not known yet, until the next `set`. */
  learn(values: readonly string[]): void {
    if (values.every((value) => this.#values.has(value))) return;
    this.#keep([...this.#values, ...values]);
  }

  #keep(values: Iterable<string>): void {
    this.#values = new Set([...values].filter((value) => value.includes(MARK)));
    this.#shapes = shapesOf(this.#values);
  }

  /** Whether a text must be looked at closely. Cheap: this runs for every exchange. */
  mayHold(text: string): boolean {
    return hasMark(text) || (text.includes("%") && hasMark(percentDecode(text)));
  }

  /** Whether a text holds so many marks that it is refused without a look. */
  isFlooded(text: string): boolean {
    const decoded = percentDecode(text);
    return marksIn(text) > MARK_LIMIT || (decoded !== text && marksIn(decoded) > MARK_LIMIT);
  }

  /**
   * Whether the text holds a stand-in that nothing will replace: plain, percent-encoded or inside base64. Case counts: a
   * variant is another string, which is worth nothing to anybody.
   * @param own stand-ins that are replaced where they stand plainly in this text
   */
  hasStray(text: string, own: readonly string[]): boolean {
    let rest = "";
    let from = 0;
    for (let found = this.#next(text, 0); found !== null; found = this.#next(text, found.end)) {
      if (!own.includes(text.slice(found.start, found.end))) return true;
      // A break, so that what stood on both sides does not become one word.
      rest += `${text.slice(from, found.start)}\n`;
      from = found.end;
    }
    return this.#hasHidden(rest + text.slice(from));
  }

  #hasHidden(text: string): boolean {
    const decoded = percentDecode(text);
    if (decoded !== text && this.#next(decoded, 0) !== null) return true;
    return this.#hasInBase64(text) || (decoded !== text && this.#hasInBase64(decoded));
  }

  #hasInBase64(text: string): boolean {
    if (!hasEncodedMark(text)) return false;
    for (const [run] of text.matchAll(/[A-Za-z0-9+/_-]{11,}/g)) {
      if (!hasEncodedMark(run)) continue;
      // Where the encoded text begins inside the run is anybody's guess: a word may stand right before it.
      for (let skip = 0; skip < 4; skip++) {
        const decoded = Buffer.from(run.slice(skip), "base64").toString("latin1");
        if (this.#next(decoded, 0) !== null) return true;
      }
    }
    return false;
  }

  /** The next stand-in at or behind `from`, the leftmost and then the longest: one may be the beginning of another. */
  #next(text: string, from: number): { readonly start: number; readonly end: number } | null {
    for (let mark = text.indexOf(MARK, from); mark >= 0; mark = text.indexOf(MARK, mark + 1)) {
      for (const { before, length } of this.#shapes) {
        const start = mark - before;
        if (start >= from && this.#values.has(text.slice(start, start + length))) return { start, end: start + length };
      }
    }
    return null;
  }
}

interface Shape {
  readonly before: number;
  readonly length: number;
}

function shapesOf(values: ReadonlySet<string>): Shape[] {
  const shapes = new Map<string, Shape>();
  for (const value of values) {
    const shape = { before: value.indexOf(MARK), length: value.length };
    shapes.set(`${shape.before}/${shape.length}`, shape);
  }
  return [...shapes.values()].sort((a, b) => b.before - a.before || b.length - a.length);
}

function hasMark(text: string): boolean {
  return text.includes(MARK) || hasEncodedMark(text);
}

function hasEncodedMark(text: string): boolean {
  return text.includes(ENCODED_MARKS[0]) || text.includes(ENCODED_MARKS[1]) || text.includes(ENCODED_MARKS[2]);
}

/** Plain and encoded ones. */
function marksIn(text: string): number {
  let count = 0;
  for (const mark of [MARK, ...ENCODED_MARKS]) {
    for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + mark.length)) count++;
  }
  return count;
}
