import type { Fields } from "../../core/fields.ts";
import { percentDecode } from "../percent.ts";

/**
 * The canonical request of AWS Signature Version 4: both sides render it from what is on the wire and sign its hash. All texts
 * are Latin-1, a character a byte, as they are sent.
 */
export interface CanonicalRequest {
  readonly method: string;
  /** Raw path and query as they will be sent. */
  readonly target: string;
  readonly headers: SignedHeaders;
  /** Hex SHA-256 of the body, or the word that stands for it. */
  readonly payload: string;
}

export interface SignedHeaders {
  /** Lower-case names, sorted, joined by `;`. */
  readonly names: string;
  /** `name:value` lines, each ended by LF, in the order of `names`. */
  readonly lines: string;
}

/** @param isS3 S3 reads a path once and as it stands; every other service encodes it again, and normalises it first */
export function canonicalText({ method, target, headers, payload }: CanonicalRequest, isS3: boolean): string {
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? "" : target.slice(mark + 1);
  const canonicalPath = isS3 ? s3Path(path) : servicePath(path);
  return `${method}\n${canonicalPath}\n${canonicalQuery(query)}\n${headers.lines}\n${headers.names}\n${payload}`;
}

/** What S3 makes of a path: every byte but the unreserved ones encoded, once, whichever way the guest spelled it. */
export function s3Path(path: string): string {
  // An encoded slash is part of a segment, and stays encoded.
  return path
    .split("/")
    .map((segment) => strictlyEncoded(percentDecode(segment)))
    .join("/");
}

/** The path of every other service: empty and dot segments resolved, then each segment encoded again, `%` included. */
export function servicePath(path: string): string {
  const kept: string[] = [];
  const segments = path.split("/");
  for (const segment of segments) {
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(strictlyEncoded(segment));
  }
  const end = kept.length > 0 && segments.at(-1) === "" ? "/" : "";
  return `/${kept.join("/")}${end}`;
}

/**
 * Parameters encoded strictly and sorted by name, then value; one without `=` has an empty value. `+` is a plus: a service that
 * takes it for a blank refuses the signature, and none reads another query than was signed.
 * @param query what stands behind the question mark
 */
export function canonicalQuery(query: string): string {
  if (query === "") return "";
  const pairs: { readonly name: string; readonly value: string }[] = [];
  for (const parameter of query.split("&")) {
    if (parameter === "") continue;
    const equals = parameter.indexOf("=");
    const name = equals < 0 ? parameter : parameter.slice(0, equals);
    const value = equals < 0 ? "" : parameter.slice(equals + 1);
    pairs.push({ name: strictlyEncoded(percentDecode(name)), value: strictlyEncoded(percentDecode(value)) });
  }
  pairs.sort((a, b) => order(a.name, b.name) || order(a.value, b.value));
  return pairs.map(({ name, value }) => `${name}=${value}`).join("&");
}

/** By code unit: all of it is ASCII. */
function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Every byte but `A-Z a-z 0-9 - . _ ~` as `%XX` in upper case.
 * @param text Latin-1
 */
export function strictlyEncoded(text: string): string {
  let out = "";
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (isUnreserved(code)) continue;
    out += text.slice(from, i) + (ENCODED[code] as string);
    from = i + 1;
  }
  return from === 0 ? text : out + text.slice(from);
}

const ENCODED = Array.from({ length: 256 }, (_, code) => `%${code.toString(16).toUpperCase().padStart(2, "0")}`);

function isUnreserved(code: number): boolean {
  const lower = code | 32;
  if (lower >= 97 && lower <= 122 && code < 128) return true;
  return (code >= 48 && code <= 57) || code === 45 || code === 46 || code === 95 || code === 126;
}

/**
 * The fields that are signed, from the lines that will be rendered: values trimmed, runs of blanks squeezed, lines of one name
 * joined in order.
 * @param signs tells by lower-case name
 */
export function signedHeaders(fields: Fields, signs: (name: string) => boolean): SignedHeaders {
  const values = new Map<string, string>();
  for (const [spelled, value] of fields.pairs()) {
    const name = spelled.toLowerCase();
    if (!signs(name)) continue;
    const before = values.get(name);
    const squeezed = squeeze(value);
    values.set(name, before === undefined ? squeezed : `${before},${squeezed}`);
  }
  const names = [...values.keys()].sort();
  return { names: names.join(";"), lines: names.map((name) => `${name}:${values.get(name) ?? ""}\n`).join("") };
}

/** Blank and tab only: to `trim` the last byte of a UTF-8 text may be a blank, too (U+00A0). */
function squeeze(value: string): string {
  // Nearly every value has nothing to squeeze.
  return UNEVEN.test(value)
    ? value
        .split(/[ \t]+/)
        .join(" ")
        .replace(/^ | $/g, "")
    : value;
}

const UNEVEN = /^[ \t]|[ \t]$|[ \t]{2}|\t/;
