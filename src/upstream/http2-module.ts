import type * as Http2 from "node:http2";

/** HTTP/2 error codes that are spoken or told apart here (RFC 9113 §7). */
export const NO_ERROR = 0;
export const PROTOCOL_ERROR = 1;
export const REFUSED_STREAM = 7;
export const CANCEL = 8;

/** Names of error codes, for operators. */
const NAMES = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
];

export function codeName(code: number): string {
  return NAMES[code] ?? `code ${code}`;
}

let module: typeof Http2 | null = null;

/** `node:http2`, loaded once an upstream needs it: it costs 6 MB of memory. */
export function http2(): typeof Http2 {
  return (module ??= process.getBuiltinModule("node:http2"));
}
