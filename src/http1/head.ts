import { Fields } from "../core/fields.ts";
import { FIELD_VALUE, Http1Error, TOKEN, VISIBLE } from "./grammar.ts";

/** Bounds of one head. */
export interface HeadLimits {
  /** Start line, fields and the empty line, in bytes. */
  readonly headBytes: number;
  readonly headFields: number;
}

export interface RequestHead {
  readonly method: string;
  /** Request-target as it was sent. */
  readonly target: string;
  /** 1 for HTTP/1.1, 0 for HTTP/1.0. */
  readonly minor: 0 | 1;
  readonly fields: Fields;
  /** Bytes that the head took, the empty line included. */
  readonly bytes: number;
}

export interface ResponseHead {
  readonly minor: 0 | 1;
  readonly status: number;
  readonly reason: string;
  readonly fields: Fields;
  readonly bytes: number;
}

const CRLF_CRLF = Buffer.from("\r\n\r\n", "latin1");
const CR = 13;
const LF = 10;
const SP = 32;
const HTAB = 9;
const COLON = 58;

/**
 * Scans a request head at the start of `bytes`.
 * @param bytes what has arrived so far; only the head is looked at
 * @param from how many of them were looked at before, when the head was not complete
 * @returns the head, or `null` when it is not complete yet
 * @throws Http1Error as soon as the bytes cannot become a head
 */
export function scanRequestHead(bytes: Buffer, limits: HeadLimits, from = 0): RequestHead | null {
  const text = headText(bytes, limits, from);
  if (text === null) {
    // A TLS hello on the plain listener and other binary protocols are refused at once, not when their time is up.
    if (bytes.length > 0 && TOKEN[bytes[0] as number] !== 1) throw new Http1Error("method");
    return null;
  }
  // method SP request-target SP HTTP-version CRLF, single blanks only (RFC 9112 §3)
  const methodEnd = text.indexOf(" ");
  let at = 0;
  while (at < methodEnd && TOKEN[text.charCodeAt(at)] === 1) at++;
  if (methodEnd < 1) throw new Http1Error("request_line");
  if (at !== methodEnd) throw new Http1Error("method");
  at = methodEnd + 1;
  while (VISIBLE[text.charCodeAt(at)] === 1) at++;
  const targetEnd = at;
  if (targetEnd === methodEnd + 1) throw new Http1Error("request_line");
  if (text.charCodeAt(at) !== SP) throw new Http1Error(text.charCodeAt(at) === CR ? "request_line" : "target");
  const minor = versionAt(text, at + 1);
  const fieldsStart = at + 11;
  if (text.charCodeAt(at + 9) !== CR || text.charCodeAt(at + 10) !== LF) throw new Http1Error("version");
  return {
    method: text.slice(0, methodEnd),
    target: text.slice(methodEnd + 1, targetEnd),
    minor,
    fields: scanFields(text, fieldsStart, limits.headFields),
    bytes: text.length,
  };
}

/**
 * Scans a response head at the start of `bytes`; the reason phrase may be missing together with its blank, as real servers send it.
 * @returns the head, or `null` when it is not complete yet
 * @throws Http1Error as soon as the bytes cannot become a head
 */
export function scanResponseHead(bytes: Buffer, limits: HeadLimits): ResponseHead | null {
  const text = headText(bytes, limits, 0);
  if (text === null) return null;
  const minor = versionAt(text, 0);
  if (text.charCodeAt(8) !== SP) throw new Http1Error("status_line");
  let status = 0;
  for (let at = 9; at < 12; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (!(digit >= 0 && digit <= 9)) throw new Http1Error("status_line");
    status = status * 10 + digit;
  }
  if (status < 100 || status > 599) throw new Http1Error("status_line");
  let at = 12;
  if (text.charCodeAt(at) === SP) at++;
  else if (text.charCodeAt(at) !== CR) throw new Http1Error("status_line");
  const reasonStart = at;
  while (FIELD_VALUE[text.charCodeAt(at)] === 1) at++;
  if (text.charCodeAt(at) !== CR || text.charCodeAt(at + 1) !== LF) throw new Http1Error("status_line");
  return {
    minor,
    status,
    reason: text.slice(reasonStart, at),
    fields: scanFields(text, at + 2, limits.headFields),
    bytes: text.length,
  };
}

/**
 * Scans field lines up to the empty line that ends the text.
 * @param text Latin-1; from `start` on: field lines, then CRLF, then nothing
 * @throws Http1Error
 */
export function scanFields(text: string, start: number, maxFields: number): Fields {
  const names: string[] = [];
  const offsets: number[] = [];
  const end = text.length - 2;
  let at = start;
  while (at < end) {
    if (names.length >= maxFields) throw new Http1Error("head_fields");
    const lineStart = at;
    while (TOKEN[text.charCodeAt(at)] === 1) at++;
    if (at === lineStart || text.charCodeAt(at) !== COLON) throw nameError(text, lineStart, at);
    names.push(text.slice(lineStart, at).toLowerCase());
    at++;
    while (isBlank(text.charCodeAt(at))) at++;
    const valueStart = at;
    while (FIELD_VALUE[text.charCodeAt(at)] === 1) at++;
    if (text.charCodeAt(at) !== CR || text.charCodeAt(at + 1) !== LF) throw valueError(text, at);
    let valueEnd = at;
    while (valueEnd > valueStart && isBlank(text.charCodeAt(valueEnd - 1))) valueEnd--;
    at += 2;
    offsets.push(lineStart, valueStart, valueEnd, at);
  }
  return new Fields(text, names, offsets);
}

/** The head as one Latin-1 string, the empty line included; `null` while it is incomplete. */
function headText(bytes: Buffer, limits: HeadLimits, from: number): string | null {
  const end = bytes.indexOf(CRLF_CRLF, Math.max(0, from - (CRLF_CRLF.length - 1)));
  if (end < 0) {
    if (bytes.length >= limits.headBytes) throw new Http1Error("head_bytes");
    refuseBareLf(bytes, from);
    return null;
  }
  if (end + 4 > limits.headBytes) throw new Http1Error("head_bytes");
  return bytes.toString("latin1", 0, end + 4);
}

/** An incomplete head that can only ever be refused is refused now, not when its time is up. */
function refuseBareLf(bytes: Buffer, from: number): void {
  for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (at === 0 || bytes[at - 1] !== CR) throw new Http1Error("bare_lf");
  }
}

/** "HTTP/1.0" or "HTTP/1.1", case-sensitive (RFC 9112 §2.3). */
function versionAt(text: string, at: number): 0 | 1 {
  if (text.startsWith("HTTP/1.1", at)) return 1;
  if (text.startsWith("HTTP/1.0", at)) return 0;
  throw new Http1Error("version");
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB;
}

function nameError(text: string, lineStart: number, at: number): Http1Error {
  if (at === lineStart && isBlank(text.charCodeAt(at))) return new Http1Error("obs_fold");
  return new Http1Error(text.charCodeAt(at) === LF ? "bare_lf" : "field_name");
}

function valueError(text: string, at: number): Http1Error {
  const code = text.charCodeAt(at);
  return new Http1Error(code === LF ? "bare_lf" : code === CR ? "bare_cr" : "field_value");
}
