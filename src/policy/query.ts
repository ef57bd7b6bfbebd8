import { TextPattern } from "./pattern.ts";

/**
 * What a rule says about query keys, held against every way in which servers take a query apart: `&` alone or `;` too,
 * decoded before the split or after it, `+` as blank or as itself, `key[]` and `key.x` spellings, any case. A value must
 * match in each reading in which it appears under a constrained key; keys that no rule names are free.
 */
export class QueryRules {
  readonly #byKey = new Map<string, readonly TextPattern[]>();

  /** @returns the key that is there already under a spelling that servers take for the same, or `null` */
  add(key: string, values: readonly string[]): string | null {
    const folded = foldKey(Buffer.from(key, "utf8").toString("latin1"));
    if (this.#byKey.has(folded)) return folded;
    this.#byKey.set(
      folded,
      values.map((value) => new TextPattern(value)),
    );
    return null;
  }

  /** @param query raw query (Latin-1), without `?` */
  allows(query: string): boolean {
    if (query === "") return true;
    if (!isVisibleAscii(query) || BAD_ESCAPE.test(query)) return false;
    if (!this.#allowsPairs(query)) return false;
    if (query.includes(";") && !this.#allowsPairs(query.replaceAll(";", "&"))) return false;
    if (!query.includes("%")) return true;
    return this.#allowsDecoded(query) && (!query.includes("+") || this.#allowsDecoded(query.replaceAll("+", " ")));
  }

  /** For servers that decode first and split then: `a=1%26key=x` holds a key for them. */
  #allowsDecoded(query: string): boolean {
    let text = query;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const decoded = decode(text);
      if (decoded === text) return true;
      text = decoded;
      for (const pair of text.split(/[&;]/)) {
        const [key, value] = splitPair(pair);
        const patterns = this.#byKey.get(foldKey(key));
        if (patterns !== undefined && !someMatch(patterns, value)) return false;
      }
    }
    return false;
  }

  #allowsPairs(query: string): boolean {
    for (const pair of query.split("&")) {
      const [key, value] = splitPair(pair);
      const patterns = this.#byKey.get(foldKey(decode(key)));
      if (patterns !== undefined && !allowsValue(patterns, value)) return false;
    }
    return true;
  }
}

function splitPair(pair: string): [key: string, value: string] {
  const equals = pair.indexOf("=");
  return equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
}

/** Rounds of percent-encoding that anyone has a reason for; deeper is refused. */
const MOST_ROUNDS = 4;

const BAD_ESCAPE = /%(?![0-9a-fA-F]{2})/;

function isVisibleAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f || code === 0x23) return false;
  }
  return true;
}

function decode(text: string): string {
  if (!text.includes("%")) return text;
  return text.replace(/%[0-9a-fA-F]{2}/g, (escape) => String.fromCharCode(Number.parseInt(escape.slice(1), 16)));
}

/**
 * One form for the spellings that common servers take for the same key: PHP strips leading blanks, cuts at NUL and turns
 * `.` and blank into `_`; PHP, Rails and qs read `key[]`; ASP.NET ignores case.
 */
function foldKey(key: string): string {
  const start = key.replaceAll("+", " ").trim();
  const bracket = start.indexOf("[", 1);
  const nul = start.indexOf("\0");
  const ends = [start.length, ...(bracket < 0 ? [] : [bracket]), ...(nul < 0 ? [] : [nul])];
  return start
    .slice(0, Math.min(...ends))
    .replaceAll(/[. ]/g, "_")
    .toLowerCase();
}

function allowsValue(patterns: readonly TextPattern[], raw: string): boolean {
  if (!someMatch(patterns, decode(raw))) return false;
  return !raw.includes("+") || someMatch(patterns, decode(raw.replaceAll("+", " ")));
}

function someMatch(patterns: readonly TextPattern[], text: string): boolean {
  for (const pattern of patterns) if (pattern.matches(text)) return true;
  return false;
}
