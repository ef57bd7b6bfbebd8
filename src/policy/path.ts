import { isUtf8 } from "node:buffer";

/**
 * What a request path says to policy. The upstream is sent the raw bytes and may read them in its own way, so the decision
 * is made on every way that is left open: an encoded `/`, `?` or `#` is data to one server and a delimiter to the next, and
 * an entry must allow each such reading. What servers read in more ways than can be listed (dot segments, `//`, `;params`,
 * backslashes, double encoding ...) is left in doubt: only an entry that allows any path whatsoever may let it pass.
 * docs/decisions/0007-path-readings.md tells why.
 */
export interface PathReading {
  /** Decision form: percent-encoded unreserved characters decoded, other escapes in upper-case hex (RFC 3986 §6.2.2). */
  readonly path: string;
  /** The other readings, where encoded delimiters are taken for real ones. Mostly empty. */
  readonly others: readonly string[];
  /** Why the readings cannot be listed, or `null`. */
  readonly doubt: string | null;
  /** Why no server should be sent it at all, or `null`. Not even an entry for any path lets it pass. */
  readonly malformed: string | null;
  /** An encoded `?` stands in the path: some servers find a query behind it. */
  readonly hidesQuery: boolean;
}

/** A request target taken apart for policy. */
export interface TargetReading extends PathReading {
  /** Raw query behind the first `?`, "" when there is none. */
  readonly query: string;
}

const NONE: readonly string[] = Object.freeze([]);

/** @param target origin-form target as the bytes that came (Latin-1): path and query */
export function readTarget(target: string): TargetReading {
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? "" : target.slice(mark + 1);
  if (query.includes("#")) return { ...malformed(path, "it holds a fragment"), query };
  if (isPlain(path)) return { path, others: NONE, doubt: null, malformed: null, hidesQuery: false, query };
  return { ...readPath(path), query };
}

/** @param path raw path without query (Latin-1) */
export function readPath(path: string): PathReading {
  if (path.charCodeAt(0) !== SLASH) return malformed(path, "it does not begin with /");
  const fault = rawFault(path);
  if (fault !== null) return malformed(path, fault);
  const flat = decodeUnreserved(path);
  const bytes = decodeAll(flat);
  if (hasControl(bytes)) return malformed(flat, "it holds an encoded control character");
  const others = delimiterReadings(flat);
  return { path: flat, others, doubt: doubtOf(bytes), malformed: null, hidesQuery: flat.includes("%3F") };
}

function malformed(path: string, why: string): PathReading {
  return { path, others: NONE, doubt: null, malformed: why, hidesQuery: false };
}

const SLASH = 0x2f;
const DOT = 0x2e;

const PLAIN = 1;
const UNRESERVED = 2;
/** Visible ASCII is plain but for what a path can hide behind: `%`, `;`, `\`, `#`. */
const CLASS = new Uint8Array(256).map((_, code) => {
  const plain = code > 0x20 && code < 0x7f && !"%;\\#?".includes(String.fromCharCode(code));
  return (plain ? PLAIN : 0) | (/[A-Za-z0-9._~-]/.test(String.fromCharCode(code)) ? UNRESERVED : 0);
});

/** One pass for the paths that almost every request has: one reading, nothing to decode. */
function isPlain(path: string): boolean {
  let previous = 0;
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code > 0xff || ((CLASS[code] as number) & PLAIN) === 0) return false;
    if (previous === SLASH && (code === SLASH || code === DOT)) return false;
    previous = code;
  }
  return path.charCodeAt(0) === SLASH;
}

function rawFault(path: string): string | null {
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f) return "it holds a raw byte that is not visible ASCII";
    if (code === 0x23) return "it holds a fragment";
    // WHATWG URL §4.4 reads it as a slash, RFC 3986 forbids it: nobody sends it in good faith
    if (code === 0x5c) return "it holds a backslash";
    if (code === 0x25 && !isHexPair(path, i + 1)) return "it holds a bad percent-encoding";
  }
  return null;
}

function isHexPair(text: string, at: number): boolean {
  return hexDigit(text.charCodeAt(at)) >= 0 && hexDigit(text.charCodeAt(at + 1)) >= 0;
}

/** Value of a hex digit, -1 for anything else, NaN included. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function decodeUnreserved(path: string): string {
  return path.replace(/%[0-9a-fA-F]{2}/g, (escape) => {
    const code = Number.parseInt(escape.slice(1), 16);
    return ((CLASS[code] as number) & UNRESERVED) === 0 ? escape.toUpperCase() : String.fromCharCode(code);
  });
}

function decodeAll(path: string): string {
  return path.replace(/%[0-9a-fA-F]{2}/g, (escape) => String.fromCharCode(Number.parseInt(escape.slice(1), 16)));
}

function hasControl(bytes: string): boolean {
  for (let i = 0; i < bytes.length; i++) {
    const code = bytes.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}

/** Encoded delimiters read as real ones, each kind alone and both together: a server may decode one and keep the other. */
function delimiterReadings(flat: string): readonly string[] {
  const readings = [flat];
  if (flat.includes("%2F")) readings.push(flat.replaceAll("%2F", "/"));
  if (flat.includes("%3F") || flat.includes("%23")) {
    for (const reading of readings.slice()) readings.push(reading.slice(0, reading.search(/%3F|%23/)));
  }
  return readings.length === 1 ? NONE : readings.slice(1);
}

/** @param bytes the path decoded once (Latin-1) */
function doubtOf(bytes: string): string | null {
  if (bytes.includes(";")) return "path parameters (;)";
  if (bytes.includes("\\")) return "an encoded backslash";
  if (/%[0-9a-fA-F]{2}/.test(bytes)) return "double percent-encoding";
  const text = utf8Text(bytes);
  if (text === null) return "bytes that are not UTF-8";
  return segmentDoubt(text) ?? (text === bytes ? null : lookAlikeDoubt(text));
}

/** `null` when invalid: overlong sequences are how `%c0%af` passes for a slash. */
function utf8Text(bytes: string): string | null {
  if (!/[\u0080-\u00ff]/.test(bytes)) return bytes;
  const buffer = Buffer.from(bytes, "latin1");
  return isUtf8(buffer) ? buffer.toString("utf8") : null;
}

/**
 * Empty segments are merged by some servers. Segments of dots climb; Windows drops blanks and further dots behind them; an
 * encoded `?` or `#` ends a segment for whoever reads it as one.
 */
function segmentDoubt(text: string): string | null {
  if (text.includes("//")) return "an empty segment (//)";
  return text.split(/[/?#]/).some((segment) => /^[.\s]+$/.test(segment)) ? "a dot segment" : null;
}

/** Full-width and compatibility forms fold to delimiters (Unicode NFKC, Windows best-fit): U+FF0F is `/` to such a server. */
function lookAlikeDoubt(text: string): string | null {
  const folded = text.replaceAll(/[\u2044\u2215\u2216\u29f5\u29f8]/g, "/").normalize("NFKC");
  const same = count(folded) === count(text) && segmentDoubt(folded) === null;
  return same ? null : "a character that folds to a delimiter";
}

function count(text: string): number {
  let delimiters = 0;
  for (const char of text) if ("/\\;?#%".includes(char)) delimiters++;
  return delimiters;
}
