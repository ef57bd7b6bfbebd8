/** Ways in which text is escaped on its way, as bits. */
export const PERCENT = 1;
export const BACKSLASH = 2;
export const REFERENCE = 4;

/** Which of them a text may hold; 0 = none. Cheap. */
export function escapesIn(text: string): number {
  return (
    (text.includes("%") ? PERCENT : 0) |
    (text.includes("\\") ? BACKSLASH : 0) |
    (text.includes("&") && ANY_REFERENCE.test(text) ? REFERENCE : 0)
  );
}

/**
 * Undoes one layer of percent-encoding (RFC 3986 §2.1), of the backslashes of JSON and JavaScript (`\/`, `\"`, `\\`,
 * `\u0041`, `\x41`) and of HTML references (`&amp;`, `&#65;`, `&#x41;`), whichever characters an encoder picked and in
 * whichever case. What is no escape stays.
 * @param kinds which of them; those that are named are undone in one pass
 * @param starts when given, filled with the place in `text` of every character of the result, and of its end
 */
export function unescape(text: string, kinds: number, starts: number[] | null = null): string {
  let out = "";
  let from = 0;
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at);
    const escape = code === 37 || code === 92 || code === 38 ? escapeAt(text, at, kinds) : 0;
    starts?.push(at);
    if (escape === 0) {
      at++;
      continue;
    }
    out += text.slice(from, at) + String.fromCharCode(escape >> LENGTH_BITS);
    at += escape & LENGTH_MASK;
    from = at;
  }
  starts?.push(text.length);
  return from === 0 ? text : out + text.slice(from);
}

const ANY_REFERENCE = /&(?:#|amp;|lt;|gt;|quot;|apos;)/i;

/** An escape as one number, so that none is allocated: the character, then the length of its spelling; 0 = none here. */
const LENGTH_BITS = 4;
const LENGTH_MASK = 15;

function found(character: number, length: number): number {
  return character < 0 || character > 0xff_ff ? 0 : (character << LENGTH_BITS) | length;
}

function escapeAt(text: string, at: number, kinds: number): number {
  switch (text.charCodeAt(at)) {
    case 37: // %
      return (kinds & PERCENT) === 0 ? 0 : found(hex(text, at + 1, 2), 3);
    case 92: // backslash
      return (kinds & BACKSLASH) === 0 ? 0 : backslash(text, at);
    case 38: // &
      return (kinds & REFERENCE) === 0 ? 0 : reference(text, at);
    default:
      return 0;
  }
}

function backslash(text: string, at: number): number {
  switch (text.charCodeAt(at + 1)) {
    case 117: // u
      return found(hex(text, at + 2, 4), 6);
    case 120: // x
      return found(hex(text, at + 2, 2), 4);
    case 34: // "
    case 39: // '
    case 47: // /
    case 92: // backslash
      return found(text.charCodeAt(at + 1), 2);
    default:
      return 0;
  }
}

const NAMED: readonly (readonly [string, number])[] = [
  ["amp;", 38],
  ["lt;", 60],
  ["gt;", 62],
  ["quot;", 34],
  ["apos;", 39],
];

function reference(text: string, at: number): number {
  if (text.charCodeAt(at + 1) === 35) return numericReference(text, at);
  const head = text.slice(at + 1, at + 6).toLowerCase();
  for (const [name, character] of NAMED) if (head.startsWith(name)) return found(character, name.length + 1);
  return 0;
}

/** `&#65;` or `&#x41;`, at most fifteen characters with all leading zeros. */
function numericReference(text: string, at: number): number {
  const end = text.indexOf(";", at);
  if (end < 0 || end - at > LENGTH_MASK - 1) return 0;
  const isHex = (text.charCodeAt(at + 2) | 32) === 120;
  const digits = text.slice(at + (isHex ? 3 : 2), end);
  if (!(isHex ? /^[0-9a-f]+$/i : /^[0-9]+$/).test(digits)) return 0;
  return found(Number.parseInt(digits, isHex ? 16 : 10), end - at + 1);
}

function hex(text: string, at: number, digits: number): number {
  let value = 0;
  for (let i = at; i < at + digits; i++) {
    const code = text.charCodeAt(i);
    const lower = code | 32;
    const digit = code >= 48 && code <= 57 ? code - 48 : lower >= 97 && lower <= 102 ? lower - 87 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}
