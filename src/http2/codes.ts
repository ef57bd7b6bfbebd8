/**
 * Error codes (RFC 9113 §7) and the one flag that is looked at (§6.2); spelled here since whoever names them must not load
 * `node:http2` before somebody speaks it.
 */
export const ERROR_CODE = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const;

/** What nghttp2 says of itself as well, when a peer breaks HTTP/2: who said it cannot be told. */
const VIOLATIONS: ReadonlySet<number> = new Set([1, 3, 5, 6, 9]);

/** Whether a stream was ended for what one side found wrong with HTTP/2 itself. */
export function isViolation(code: number): boolean {
  return VIOLATIONS.has(code);
}

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

/** Name of an error code, for operators. */
export function codeName(code: number): string {
  return NAMES[code] ?? `code ${code}`;
}

const END_STREAM = 1;

/** Whether nothing follows the frame in its direction. */
export function isLast(flags: number): boolean {
  return (flags & END_STREAM) !== 0;
}
