import { Denial } from "../core/denial.ts";
import type { OutboundHead } from "../core/exchange.ts";
import { Fields } from "../core/fields.ts";
import type { AnswerHead, BodyLength, OutboundRequest } from "../core/wire.ts";
import type { BodyLimits } from "../http1/body.ts";
import { contentLength } from "../http1/framing.ts";
import { FIELD_VALUE, Http1Error, isToken } from "../http1/grammar.ts";
import type { HeadLimits } from "../http1/head.ts";
import { cutResponseHopByHop } from "../http1/hop-by-hop.ts";
import { filterTrailers } from "../http1/trailers.ts";
import { appendFieldLines, fieldObject } from "../http2/field-lines.ts";
import { http2 } from "../http2/module.ts";

/** Heads of the house as HTTP/2 field lists, and back. What comes is held to the grammar of HTTP/1.1: a guest may speak that. */

// An `import` of node:http would touch its lazy exports, WebSocket among them, and load 3 MB of undici for one table.
const { STATUS_CODES } = process.getBuiltinModule("node:http");

/** Names and values in turn; what must not enter a compression table is marked. */
export type FieldList = string[];

/** `:authority` stands for it. */
const HOST = "host";

const LEFT: ReadonlySet<string> = new Set([HOST]);

/** RFC 8441 §5: the proof of a WebSocket handshake belongs to HTTP/1.1; over HTTP/2 the stream itself is the proof. */
const LEFT_OF_UPGRADE: ReadonlySet<string> = new Set([HOST, "sec-websocket-key", "sec-websocket-accept"]);

/**
 * The field list of a request. Lines that the edge wrote, and the path, which may hold a credential as well, are never indexed
 * (RFC 7541 §7.1.3): a credential must not share a table with values that guests choose.
 */
export function requestFields(head: OutboundHead, request: OutboundRequest, scheme: "http" | "https"): FieldList {
  const { fields } = head;
  // HTTP/1.0 guests need say none: then the edge wrote it.
  const [authority] = fields.allSent(HOST);
  if (authority === undefined) throw new Denial("internal", { cause: "a request without Host" });
  const upgrade = request.upgrade;
  const list = [":method", upgrade === null ? head.method : "CONNECT", ":scheme", scheme];
  list.push(":authority", authority, ":path", head.target);
  if (upgrade !== null) list.push(":protocol", upgrade);
  appendFieldLines(list, fields, upgrade === null ? LEFT : LEFT_OF_UPGRADE);
  if (request.wantsTrailers) list.push("te", "trailers");
  return Object.assign(list, { [http2().sensitiveHeaders]: [":path", ...fields.writtenNames] });
}

/** Trailers as `sendTrailers` wants them. */
export function trailerRecord(trailers: Fields | null): Record<string, string[]> {
  return trailers === null ? {} : fieldObject(trailers, LEFT);
}

/**
 * An answer's head, 1xx or final.
 * @param raw names and values in turn, `:status` among them
 * @param method of the request
 * @param endsStream nothing follows the head
 * @throws Http1Error when it breaks the grammar or a limit
 */
export function answerHead(
  raw: readonly string[],
  method: string,
  endsStream: boolean,
  limits: HeadLimits,
): AnswerHead {
  const status = statusOf(raw);
  const fields = checkedFields(raw, limits.headFields, limits.headBytes, "head_bytes");
  const said = saidLength(fields);
  cutResponseHopByHop(fields, []);
  if (status < 200 || status === 204) fields.dropAll("content-length");
  return { status, reason: STATUS_CODES[status] ?? "", fields, length: length() };

  function length(): BodyLength {
    if (status < 200 || status === 204 || status === 304 || method === "HEAD") return "none";
    if (endsStream && said !== null && said > 0) throw new Http1Error("content_length");
    return endsStream ? "none" : (said ?? "stream");
  }
}

/** Trailers that may pass. @throws Http1Error */
export function answerTrailers(raw: readonly string[], limits: BodyLimits): Fields {
  const trailers = checkedFields(raw, limits.trailerFields, limits.trailerBytes, "trailer_bytes");
  filterTrailers(trailers);
  return trailers;
}

function statusOf(raw: readonly string[]): number {
  const at = raw.indexOf(":status");
  const text = at >= 0 && at % 2 === 0 ? (raw[at + 1] ?? "") : "";
  // RFC 9113 §8.6: HTTP/2 knows no 101.
  if (!/^[1-5][0-9]{2}$/.test(text) || text === "101") throw new Http1Error("status_line");
  return Number(text);
}

function checkedFields(
  raw: readonly string[],
  maxFields: number,
  maxBytes: number,
  tooLong: "head_bytes" | "trailer_bytes",
): Fields {
  const pairs: [string, string][] = [];
  let bytes = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string;
    const value = raw[i + 1] as string;
    if (name.startsWith(":")) continue;
    if (!isToken(name)) throw new Http1Error("field_name");
    if (!isFieldValue(value)) throw new Http1Error("field_value");
    // As HTTP/1.1 would write it.
    bytes += name.length + value.length + 4;
    if (bytes > maxBytes) throw new Http1Error(tooLong);
    if (pairs.push([name, value]) > maxFields) throw new Http1Error("head_fields");
  }
  return Fields.of(pairs);
}

function isFieldValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) if (FIELD_VALUE[value.charCodeAt(i)] !== 1) return false;
  return true;
}

/** What Content-Length says, or `null`. @throws Http1Error */
function saidLength(fields: Fields): number | null {
  const values = fields.all("content-length");
  if (values.length > 1) throw new Http1Error("content_length");
  return values[0] === undefined ? null : contentLength(values[0]);
}
