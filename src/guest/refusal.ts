import type { Denial } from "../core/denial.ts";

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

/** @returns the whole response as one Latin-1 string */
export function refusalText(denial: Denial, options: RefusalOptions): string {
  const { status, proxyStatus, text } = denial.entry;
  const body = `${JSON.stringify({
    type: `urn:postern:denial:${denial.code}`,
    title: text,
    status,
    code: denial.code,
    correlation_id: options.correlationId,
  })}\n`;
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Refused"}\r\n` +
    `Date: ${new Date(options.nowMs).toUTCString()}\r\n` +
    `x-deny-reason: ${denial.code}\r\n` +
    `x-correlation-id: ${options.correlationId}\r\n` +
    `Proxy-Status: postern; error=${proxyStatus}; details="${denial.code}"\r\n` +
    (status === 407 ? 'Proxy-Authenticate: Basic realm="postern"\r\n' : "") +
    (status === 503 ? "Retry-After: 5\r\n" : "") +
    "Cache-Control: no-store\r\n" +
    "Content-Type: application/problem+json\r\n" +
    `Content-Length: ${Buffer.byteLength(body)}\r\n` +
    (options.close ? "Connection: close\r\n" : "") +
    `\r\n${options.headOnly ? "" : body}`
  );
}
