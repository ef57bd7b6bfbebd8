/**
 * The field section of one head or trailer (RFC 9110 §5), kept as the very text that arrived. Names are looked up in lower
 * case; kept lines are rendered as slices of the original, in order and case, so that what was decided on is what is sent.
 * A line can be dropped, its value replaced, and new lines appended; nothing else changes.
 */
export class Fields {
  /** Latin-1 text that holds every line, each ended by CRLF. */
  readonly text: string;
  /** Lower-case names, in order of arrival. */
  readonly names: readonly string[];
  /** Four offsets a line: line start, value start, value end, line end (after CRLF). */
  readonly offsets: readonly number[];
  /** By line: `null` dropped, a string its new value, `undefined` as it came. */
  #edits: (string | null | undefined)[] | null = null;
  #appended = "";

  /** Made by the codec, which has checked every byte; use `Fields.of` elsewhere. */
  constructor(text: string, names: readonly string[], offsets: readonly number[]) {
    this.text = text;
    this.names = names;
    this.offsets = offsets;
  }

  /** From name/value pairs (HTTP/2, tests). Callers have checked the grammar of both. */
  static of(pairs: Iterable<readonly [string, string]>): Fields {
    let text = "";
    const names: string[] = [];
    const offsets: number[] = [];
    for (const [name, value] of pairs) {
      const start = text.length;
      const valueStart = start + name.length + 2;
      text += `${name}: ${value}\r\n`;
      names.push(name.toLowerCase());
      offsets.push(start, valueStart, valueStart + value.length, text.length);
    }
    return new Fields(text, names, offsets);
  }

  /** The same section with the same edits so far; later edits of one do not show in the other. */
  clone(): Fields {
    const copy = new Fields(this.text, this.names, this.offsets);
    if (this.#edits !== null) copy.#edits = this.#edits.slice();
    copy.#appended = this.#appended;
    return copy;
  }

  get length(): number {
    return this.names.length;
  }

  /** Name of line `i` as it was spelled. */
  rawName(i: number): string {
    const start = this.offsets[i * 4] as number;
    return this.text.slice(start, start + (this.names[i] as string).length);
  }

  /** Value of line `i` without the blanks around it, after any replacement. */
  value(i: number): string {
    return this.#edits?.[i] ?? this.text.slice(this.offsets[i * 4 + 1], this.offsets[i * 4 + 2]);
  }

  isDropped(i: number): boolean {
    return this.#edits !== null && this.#edits[i] === null;
  }

  /** First value of `name` (lower case) among the kept lines, or `null`. */
  get(name: string): string | null {
    for (let i = 0; i < this.names.length; i++) {
      if (this.names[i] === name && !this.isDropped(i)) return this.value(i);
    }
    return null;
  }

  /** All values of `name` (lower case) among the kept lines. */
  all(name: string): string[] {
    const values: string[] = [];
    for (let i = 0; i < this.names.length; i++) {
      if (this.names[i] === name && !this.isDropped(i)) values.push(this.value(i));
    }
    return values;
  }

  has(name: string): boolean {
    return this.get(name) !== null;
  }

  /** All values of `name` (lower case) that are rendered: of kept lines and of those that were added here. */
  allSent(name: string): string[] {
    const values: string[] = [];
    for (const [spelled, value] of this.pairs()) if (spelled.toLowerCase() === name) values.push(value);
    return values;
  }

  /** Takes line `i` out. */
  drop(i: number): void {
    this.#editable()[i] = null;
  }

  /** Takes every line called `name` (lower case) out, whatever its case on the wire. */
  dropAll(name: string): void {
    for (let i = 0; i < this.names.length; i++) if (this.names[i] === name) this.drop(i);
  }

  /** Gives line `i` another value, unless it was dropped; name, place and case stay. @param value without CR, LF or NUL */
  replace(i: number, value: string): void {
    assertFieldValue(value);
    const edits = this.#editable();
    if (edits[i] !== null) edits[i] = value;
  }

  #editable(): (string | null | undefined)[] {
    return (this.#edits ??= noEdits(this.names.length));
  }

  /** Adds a line at the end. @param value without CR, LF or NUL */
  append(name: string, value: string): void {
    assertFieldValue(value);
    this.#appended += `${name}: ${value}\r\n`;
  }

  /** Lower-case names of replaced and appended lines: what was written here, whoever wrote the rest. */
  get writtenNames(): readonly string[] {
    const names = this.names.filter((_, i) => typeof this.#edits?.[i] === "string");
    for (const line of this.#appended.split("\r\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) names.push(line.slice(0, colon).toLowerCase());
    }
    return names;
  }

  /** Every kept, replaced and appended line, each ended by CRLF. Runs of untouched lines are single slices. */
  render(): string {
    const edits = this.#edits;
    if (edits === null) return this.#untouched() + this.#appended;
    let out = "";
    let runStart = -1;
    const count = this.names.length;
    for (let i = 0; i < count; i++) {
      const edit = edits[i];
      if (edit === undefined) {
        if (runStart < 0) runStart = this.offsets[i * 4] as number;
        continue;
      }
      if (runStart >= 0) out += this.text.slice(runStart, this.offsets[i * 4]);
      runStart = -1;
      if (edit !== null) out += `${this.rawName(i)}: ${edit}\r\n`;
    }
    if (runStart >= 0) out += this.text.slice(runStart, this.offsets[count * 4 - 1]);
    return out + this.#appended;
  }

  #untouched(): string {
    const count = this.names.length;
    return count === 0 ? "" : this.text.slice(this.offsets[0], this.offsets[count * 4 - 1]);
  }

  /** Kept lines as name/value pairs with the spelling of the wire; for HTTP/2 and for tests. */
  *pairs(): Generator<[string, string]> {
    for (let i = 0; i < this.names.length; i++) {
      if (!this.isDropped(i)) yield [this.rawName(i), this.value(i)];
    }
    for (const line of this.#appended.split("\r\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) yield [line.slice(0, colon), line.slice(colon + 2)];
    }
  }
}

/** Without holes, which would make the array slower to read. */
function noEdits(lines: number): undefined[] {
  const edits: undefined[] = [];
  for (let i = 0; i < lines; i++) edits.push(undefined);
  return edits;
}

/** RFC 9110 §5.5: CR, LF and NUL in a value would end the field early; characters above U+00FF have no Latin-1 byte. */
function assertFieldValue(value: string): void {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code === 13 || code === 10 || code === 0 || code > 255)
      throw new TypeError("field value holds a forbidden character");
  }
}
