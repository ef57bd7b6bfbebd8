import { type Form, formsOf } from "./forms.ts";
import { Sieve } from "./sieve.ts";
import { escapesIn, unescape } from "./unescape.ts";

/** How often a text is unescaped: a redirect inside a redirect inside a JSON text. */
export const LAYERS = 3;

/** What is looked for on behalf of one lease, and how it is masked. Made once a lease, since that costs about 50 µs. */
export class Watch {
  readonly #forms: readonly Form[];
  readonly #shortest: number;
  /** `null` when a form is so short or so special that every text must be searched. */
  readonly #sieve: Sieve | null;
  /** A form holds a character that begins an escape. */
  readonly #looksEscaped: boolean;

  /** @param values plain, as `Injected.values`, at least one */
  constructor(values: readonly string[]) {
    this.#forms = formsOf(values);
    this.#shortest = Math.min(...this.#forms.map(({ text }) => text.length));
    this.#sieve = this.#forms.some(({ alone }) => alone) ? null : new Sieve(this.#forms.map(({ tail }) => tail));
    this.#looksEscaped = this.#forms.some(({ text }) => /[%\\&]/.test(text));
  }

  /** Whether a text may hold a form as it stands, without unescaping. A `false` is certain. */
  mayHold(text: string): boolean {
    return text.length >= this.#shortest && (this.#sieve === null || this.#sieve.mayHold(text));
  }

  /** Whether a field name holds a form; names have no case (RFC 9110 §5.1). @param name lower case */
  isIn(name: string): boolean {
    if (name.length < this.#shortest) return false;
    return this.#forms.some(({ text, alone }) => !alone && name.includes(text.toLowerCase()));
  }

  /** The text with every form that it holds, plain or escaped, overwritten by as many `*`. */
  mask(text: string): string {
    if (text.length < this.#shortest) return text;
    const ranges: Range[] = [];
    this.#search(text, null, ranges);
    let view = text;
    for (let layer = 1; layer <= LAYERS; layer++) {
      const kinds = escapesIn(view);
      if (kinds === 0) break;
      let all = view;
      for (let chosen = kinds; chosen > 0; chosen = (chosen - 1) & kinds) {
        const inner = unescape(view, chosen);
        if (inner !== view && this.mayHold(inner)) this.#search(inner, placesOf(text, layer, chosen), ranges);
        if (chosen === kinds) all = inner;
        // Every choice of them, where a backslash beside percent signs may be a character of the material itself.
        if (!this.#looksEscaped) break;
      }
      view = all;
    }
    return ranges.length === 0 ? text : overwritten(text, ranges);
  }

  /** @param places of each character of an unescaped `text` in the text that is masked; `null` = it is that text */
  #search(text: string, places: readonly number[] | null, ranges: Range[]): void {
    if (!this.mayHold(text)) return;
    let lower: string | null = null;
    for (const form of this.#forms) {
      const within = form.folded ? (lower ??= asciiLower(text)) : text;
      const sought = places === null ? form.text : form.tail;
      const head = form.text.length - sought.length;
      for (let at = within.indexOf(sought); at >= 0; at = within.indexOf(sought, at + 1)) {
        if (form.alone && (isWordAt(text, at - 1) || isWordAt(text, at + sought.length))) continue;
        const start = Math.max(0, at - head - form.before);
        const end = Math.min(text.length, at + sought.length + form.after);
        ranges.push(places === null ? { start, end } : { start: places[start] as number, end: places[end] as number });
      }
    }
  }
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/** Where each character of `text` comes from once it was unescaped `layers` times, the last time of `kinds` only. */
function placesOf(text: string, layers: number, kinds: number): number[] {
  let view = text;
  let places: number[] | null = null;
  for (let layer = 1; layer <= layers; layer++) {
    const starts: number[] = [];
    view = unescape(view, layer < layers ? escapesIn(view) : kinds, starts);
    const outer: readonly number[] | null = places;
    places = outer === null ? starts : starts.map((start) => outer[start] as number);
  }
  return places ?? [];
}

function overwritten(text: string, ranges: Range[]): string {
  ranges.sort((a, b) => a.start - b.start);
  let out = "";
  let from = 0;
  for (const { start, end } of ranges) {
    if (end <= from) continue;
    const begin = Math.max(start, from);
    out += text.slice(from, begin) + "*".repeat(end - begin);
    from = end;
  }
  return out + text.slice(from);
}

/** Same length as the text, which `toLowerCase` does not promise: U+0130 would move every place behind it. */
function asciiLower(text: string): string {
  return text.replaceAll(/[A-Z]+/g, (run) => run.toLowerCase());
}

/** Letters and digits of ASCII; outside the text is none. */
function isWordAt(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  const lower = code | 32;
  return (code >= 48 && code <= 57) || (lower >= 97 && lower <= 122);
}
