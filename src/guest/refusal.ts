import { type Denial, type DenialCode, DENIALS } from "../core/denial.ts";

// An `import` of node:http would touch its lazy exports, WebSocket among them, and load 3 MB of undici for one table.
const { STATUS_CODES } = process.getBuiltinModule("node:http");

/**
 * A denial on the wire: fixed text, the code in `x-deny-reason`, RFC 9209 `proxy-status`, RFC 9457 problem+json with code and
 * correlation id. Nothing of the request, the upstream or the cause is in it.
 */
export interface RefusalOptions {
  readonly correlationId: string;
  /** HEAD: no body follows (RFC 9110 §9.3.2). */
  readonly headOnly: boolean;
  readonly close: boolean;
  /** Epoch ms for `Date`. */
  readonly nowMs: number;
}

/** A refusal free of any HTTP version. */
export interface RefusalMessage {
  readonly status: number;
  readonly lines: readonly (readonly [name: string, value: string])[];
  /** ASCII. */
  readonly body: string;
}

/** The refusal for a protocol that writes its own heads. */
export function refusalMessage(denial: Denial, correlationId: string, nowMs: number): RefusalMessage {
  const fixed = fixedParts(denial.code);
  const body = fixed.bodyStart + correlationId + BODY_END;
  const own = [
    ["Date", httpDate(nowMs)],
    ["x-correlation-id", correlationId],
    ["Content-Length", String(body.length)],
  ] as const;
  return { status: denial.entry.status, lines: [...own, ...fixed.lines], body };
}

/** @returns the whole response as one Latin-1 string */
export function refusalText(denial: Denial, { correlationId, headOnly, close, nowMs }: RefusalOptions): string {
  const fixed = fixedParts(denial.code);
  // The id is printable ASCII without quotes: made by the edge, one byte a character, nothing to escape.
  const bodyBytes = fixed.bodyStart.length + correlationId.length + BODY_END.length;
  return (
    `${fixed.statusLine}Date: ${httpDate(nowMs)}\r\nx-correlation-id: ${correlationId}\r\n${fixed.fields}` +
    `Content-Length: ${bodyBytes}\r\n${close ? "Connection: close\r\n" : ""}\r\n` +
    (headOnly ? "" : fixed.bodyStart + correlationId + BODY_END)
  );
}

/** What is the same for every denial of one code. */
interface FixedParts {
  readonly statusLine: string;
  readonly lines: RefusalMessage["lines"];
  /** The lines as HTTP/1.1 writes them. */
  readonly fields: string;
  /** The body up to the value of its last member, the correlation id. */
  readonly bodyStart: string;
}

const BODY_END = '"}\n';

const known = new Map<DenialCode, FixedParts>();

function fixedParts(code: DenialCode): FixedParts {
  let parts = known.get(code);
  if (parts === undefined) known.set(code, (parts = makeParts(code)));
  return parts;
}

/** An operator takes longer than a process that comes back. */
const RETRY_AFTER_S: Partial<Record<DenialCode, number>> = { approval_pending: 30, guest_held_off: 10 };

function makeParts(code: DenialCode): FixedParts {
  const { status, proxyStatus, text } = DENIALS[code];
  const members = JSON.stringify({ type: `urn:postern:denial:${code}`, title: text, status, code });
  const lines: [string, string][] = [
    ["x-deny-reason", code],
    ["Proxy-Status", `postern; error=${proxyStatus}; details="${code}"`],
  ];
  if (status === 407) lines.push(["Proxy-Authenticate", 'Basic realm="postern"']);
  const retryAfterS = RETRY_AFTER_S[code] ?? (status === 503 ? 5 : null);
  if (retryAfterS !== null) lines.push(["Retry-After", String(retryAfterS)]);
  lines.push(["Cache-Control", "no-store"], ["Content-Type", "application/problem+json"]);
  return {
    statusLine: `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Refused"}\r\n`,
    lines,
    fields: lines.map(([name, value]) => `${name}: ${value}\r\n`).join(""),
    bodyStart: `${members.slice(0, -1)},"correlation_id":"`,
  };
}

let dateSecond = Number.NaN;
let dateText = "";

/** RFC 9110 §5.6.7 IMF-fixdate; rendered once a second. */
function httpDate(wallMs: number): string {
  const second = Math.floor(wallMs / 1000);
  if (second !== dateSecond) {
    dateText = new Date(second * 1000).toUTCString();
    dateSecond = second;
  }
  return dateText;
}
