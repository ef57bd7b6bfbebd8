import { Fields } from "../core/fields.ts";
import { FIELD_VALUE, TOKEN } from "../http1/grammar.ts";
import { Http2Error } from "./grammar.ts";

/** A HEADERS block taken apart. */
export interface FieldLines {
  /** Pseudo-header fields by name, colon included. */
  readonly pseudo: ReadonlyMap<string, string>;
  /** The other lines, in order; split cookies are joined (RFC 9113 §8.2.3). */
  readonly lines: readonly (readonly [name: string, value: string])[];
}

export interface BlockLimits {
  /** Most lines, pseudo-header fields left out and cookies joined. */
  readonly fields: number;
  /** Most bytes, counted as RFC 9113 §6.5.2 counts them. */
  readonly bytes: number;
}

/** What each field counts for beside its name and value (RFC 9113 §6.5.2). */
const FIELD_OVERHEAD_BYTES = 32;

/**
 * Reads the flat name/value list of one HEADERS block.
 * @param raw as `node:http2` hands it over: names and values by turns, Latin-1
 * @param known the pseudo-header fields that may be there; none in a trailer section
 * @throws Http2Error
 */
export function readFieldLines(raw: readonly string[], known: ReadonlySet<string>, limits: BlockLimits): FieldLines {
  // `node:http2` holds a peer to what was announced to it only once it has acknowledged that, which is its own to do.
  if (blockBytes(raw) > limits.bytes) throw new Http2Error("head_bytes");
  const pseudo = new Map<string, string>();
  const lines: [string, string][] = [];
  let cookie = -1;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    const value = raw[i + 1] as string;
    if (name.charCodeAt(0) === COLON) {
      if (lines.length > 0 || pseudo.has(name) || !known.has(name)) throw new Http2Error("pseudo_field");
      assertValue(value);
      pseudo.set(name, value);
      continue;
    }
    assertName(name);
    assertValue(value);
    if (name === "cookie" && cookie >= 0) {
      const joined = lines[cookie] as [string, string];
      joined[1] += `; ${value}`;
      continue;
    }
    if (name === "cookie") cookie = lines.length;
    if (lines.length >= limits.fields) throw new Http2Error("head_fields");
    lines.push([name, value]);
  }
  return { pseudo, lines };
}

/** A trailer section. @throws Http2Error */
export function readTrailerLines(raw: readonly string[], limits: BlockLimits): Fields {
  return Fields.of(readFieldLines(raw, NO_PSEUDO, limits).lines);
}

function blockBytes(raw: readonly string[]): number {
  let bytes = (raw.length / 2) * FIELD_OVERHEAD_BYTES;
  for (const text of raw) bytes += text.length;
  return bytes;
}

/**
 * The kept lines of `fields` as a flat list for a HEADERS block: names in lower case, connection-specific ones and `left` left
 * out.
 * @param list what comes first, such as pseudo-header fields; is appended to
 */
export function appendFieldLines(list: string[], fields: Fields, left: ReadonlySet<string> = NO_PSEUDO): string[] {
  for (const [spelled, value] of fields.pairs()) {
    const name = spelled.toLowerCase();
    if (!CONNECTION_FIELDS.has(name) && !left.has(name)) list.push(name, value);
  }
  return list;
}

/** The same as an object of lists, which is what `node:http2` takes for 1xx answers and trailers. */
export function fieldObject(fields: Fields, left: ReadonlySet<string> = NO_PSEUDO): Record<string, string[]> {
  const object: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  const list = appendFieldLines([], fields, left);
  for (let i = 0; i < list.length; i += 2) (object[list[i] as string] ??= []).push(list[i + 1] as string);
  return object;
}

const COLON = 58;
const NO_PSEUDO: ReadonlySet<string> = new Set();

/** RFC 9113 §8.2.2; `te` is said anew on each hop. */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "te",
]);

function assertName(name: string): void {
  if (name.length === 0) throw new Http2Error("field_name");
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code > 255 || TOKEN[code] !== 1 || (code >= 65 && code <= 90)) throw new Http2Error("field_name");
  }
  if (name !== "te" && CONNECTION_FIELDS.has(name)) throw new Http2Error("connection_field");
}

function assertValue(value: string): void {
  const last = value.length - 1;
  for (let i = 0; i <= last; i++) {
    const code = value.charCodeAt(i);
    if (code > 255 || FIELD_VALUE[code] !== 1) throw new Http2Error("field_value");
  }
  if (last >= 0 && (isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(last)))) {
    throw new Http2Error("field_value");
  }
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}
