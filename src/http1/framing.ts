import type { Fields } from "../core/fields.ts";
import { Http1Error, isToken, type Rule } from "./grammar.ts";
import type { RequestHead, ResponseHead } from "./head.ts";

/** How a message body ends (RFC 9112 §6.3). */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly length: number }
  | { readonly kind: "chunked" }
  /** until the connection closes; responses only */
  | { readonly kind: "close" };

const NONE: Framing = { kind: "none" };
const CHUNKED: Framing = { kind: "chunked" };
const CLOSE: Framing = { kind: "close" };

/** What the control fields of a head say. */
export interface Control {
  readonly framing: Framing;
  /** The connection ends after this message. */
  readonly close: boolean;
  /** Lower-case field names that `Connection` nominates as hop-by-hop, besides its own options. */
  readonly nominated: readonly string[];
  /** Lower-case `Upgrade` protocols when the upgrade option was there too, else empty. */
  readonly upgrade: readonly string[];
}

export interface RequestControl extends Control {
  /** Value of the one Host field; `null` when there is none (HTTP/1.0, CONNECT). */
  readonly host: string | null;
  /** Line of the Host field, -1 when there is none. */
  readonly hostLine: number;
  readonly expectContinue: boolean;
  /** `TE: trailers` was said. */
  readonly wantsTrailers: boolean;
}

const EMPTY: readonly string[] = [];

/**
 * Reads the control fields of a request.
 * @throws Http1Error when framing, Host, Connection, Upgrade or Expect break their rule
 */
export function requestControl(head: RequestHead): RequestControl {
  const { fields, minor } = head;
  const { hostLine, lengthLine, codingLine, expectLine, upgradeLine, connection, wantsTrailers, repeated } =
    controlLines(fields);
  if (repeated !== null) throw new Http1Error(repeated);
  if (hostLine < 0 && minor === 1 && head.method !== "CONNECT") throw new Http1Error("host_missing");
  if (expectLine >= 0 && fields.value(expectLine).toLowerCase() !== "100-continue") throw new Http1Error("expectation");
  const options = connection === null ? NO_OPTIONS : connectionOptions(connection);
  const framing = bodyFraming(fields, lengthLine, codingLine, minor);
  return {
    framing: framing ?? NONE,
    close: options.close || minor === 0,
    nominated: options.nominated,
    upgrade: upgradeLine >= 0 && options.upgrade && minor === 1 ? protocols(fields.value(upgradeLine)) : EMPTY,
    host: hostLine < 0 ? null : fields.value(hostLine),
    hostLine,
    // RFC 9110 §10.1.1: HTTP/1.0 clients have no 100-continue; a message without content has nothing to wait for
    expectContinue: expectLine >= 0 && minor === 1 && framing !== null,
    wantsTrailers,
  };
}

/**
 * Reads the control fields of a response.
 * @param method of the request that it answers: HEAD has no body, CONNECT is not sent upstream here
 * @throws Http1Error
 */
export function responseControl(head: ResponseHead, method: string): Control {
  const { fields, minor, status } = head;
  // What is repeated besides framing has no meaning in a response and is nobody's to refuse.
  const { lengthLine, codingLine, upgradeLine, connection } = controlLines(fields);
  const options = connection === null ? NO_OPTIONS : connectionOptions(connection);
  const said = bodyFraming(fields, lengthLine, codingLine, minor);
  const bodiless = method === "HEAD" || status === 204 || status === 304 || status < 200;
  const framing = bodiless ? NONE : (said ?? CLOSE);
  return {
    framing,
    close: options.close || framing.kind === "close" || (minor === 0 && !options.keepAlive),
    nominated: options.nominated,
    upgrade: upgradeLine >= 0 ? protocols(fields.value(upgradeLine)) : EMPTY,
  };
}

interface ControlLines {
  readonly hostLine: number;
  readonly lengthLine: number;
  readonly codingLine: number;
  readonly expectLine: number;
  readonly upgradeLine: number;
  /** All `Connection` values, joined. */
  readonly connection: string | null;
  readonly wantsTrailers: boolean;
  /** The rule that a second Host, Expect or Upgrade breaks in a request. */
  readonly repeated: Rule | null;
}

/** Where the control fields stand; -1 for none, the first where there are several. @throws Http1Error for repeated framing */
function controlLines(fields: Fields): ControlLines {
  const { names } = fields;
  let hostLine = -1;
  let lengthLine = -1;
  let codingLine = -1;
  let expectLine = -1;
  let upgradeLine = -1;
  let connection: string | null = null;
  let wantsTrailers = false;
  let repeated: Rule | null = null;
  for (let i = 0; i < names.length; i++) {
    switch (names[i]) {
      case "host":
        if (hostLine < 0) hostLine = i;
        else repeated ??= "host_repeated";
        break;
      case "content-length":
        if (lengthLine >= 0) throw new Http1Error("content_length");
        lengthLine = i;
        break;
      case "transfer-encoding":
        if (codingLine >= 0) throw new Http1Error("transfer_coding");
        codingLine = i;
        break;
      case "connection":
        connection = connection === null ? fields.value(i) : `${connection},${fields.value(i)}`;
        break;
      case "expect":
        if (expectLine < 0) expectLine = i;
        else repeated ??= "expectation";
        break;
      case "upgrade":
        if (upgradeLine < 0) upgradeLine = i;
        else repeated ??= "upgrade";
        break;
      case "te":
        wantsTrailers ||= /(^|[,\s])trailers($|[,;\s])/i.test(fields.value(i));
        break;
      default:
    }
  }
  return { hostLine, lengthLine, codingLine, expectLine, upgradeLine, connection, wantsTrailers, repeated };
}

/** RFC 9112 §6.3 without its repairs: any doubt is an error. `null` when no framing field is there. */
function bodyFraming(fields: Fields, lengthLine: number, codingLine: number, minor: 0 | 1): Framing | null {
  if (codingLine >= 0) {
    if (lengthLine >= 0) throw new Http1Error("length_and_coding");
    if (minor === 0 || fields.value(codingLine).toLowerCase() !== "chunked") throw new Http1Error("transfer_coding");
    return CHUNKED;
  }
  if (lengthLine < 0) return null;
  return { kind: "length", length: contentLength(fields.value(lengthLine)) };
}

/** 1*DIGIT below 2^53; no sign, no list, no blank. @throws Http1Error */
export function contentLength(text: string): number {
  if (text.length === 0 || text.length > 16) throw new Http1Error("content_length");
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (!(digit >= 0 && digit <= 9)) throw new Http1Error("content_length");
    value = value * 10 + digit;
  }
  if (value > Number.MAX_SAFE_INTEGER) throw new Http1Error("content_length");
  return value;
}

interface ConnectionOptions {
  readonly close: boolean;
  readonly keepAlive: boolean;
  readonly upgrade: boolean;
  readonly nominated: readonly string[];
}

const NO_OPTIONS: ConnectionOptions = { close: false, keepAlive: false, upgrade: false, nominated: EMPTY };
const CLOSE_ONLY: ConnectionOptions = { close: true, keepAlive: false, upgrade: false, nominated: EMPTY };
const KEEP_ALIVE_ONLY: ConnectionOptions = { close: false, keepAlive: true, upgrade: false, nominated: EMPTY };

/**
 * Fields that no hop may declare its own: taking them out would change what the message is or where it goes, or whether anybody
 * says 100 to a guest that waits for it.
 */
const NEVER_NOMINATED: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "content-type",
  "content-encoding",
  "expect",
]);

const MAX_NOMINATED = 32;

function connectionOptions(value: string): ConnectionOptions {
  if (value === "keep-alive" || value === "Keep-Alive") return KEEP_ALIVE_ONLY;
  if (value === "close") return CLOSE_ONLY;
  let close = false;
  let keepAlive = false;
  let upgrade = false;
  const nominated: string[] = [];
  for (const part of value.split(",")) {
    const option = part.trim().toLowerCase();
    if (option === "") continue;
    if (!isToken(option) || NEVER_NOMINATED.has(option)) throw new Http1Error("connection_option");
    if (option === "close") close = true;
    else if (option === "keep-alive") keepAlive = true;
    else if (option === "upgrade") upgrade = true;
    else nominated.push(option);
    if (nominated.length > MAX_NOMINATED) throw new Http1Error("connection_option");
  }
  return { close, keepAlive, upgrade, nominated };
}

/** RFC 9110 §7.8 protocol list, lower case, bounded. */
function protocols(value: string): readonly string[] {
  const list = value
    .split(",")
    .map((part) => part.trim().toLowerCase())
    .filter((part) => part !== "");
  if (list.length > 8) throw new Http1Error("upgrade");
  return list;
}
