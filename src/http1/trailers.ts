import type { Fields } from "../core/fields.ts";

/**
 * RFC 9110 §6.5.1: what frames, routes, authenticates or changes a message, or says how to read its content. A receiver that merges
 * trailers into its head late would be told by them what nobody has decided on.
 */
const FORBIDDEN = new Set([
  "host",
  "forwarded",
  "te",
  "trailer",
  "upgrade",
  "connection",
  "keep-alive",
  "transfer-encoding",
  "content-length",
  "content-type",
  "content-encoding",
  "content-range",
  "authorization",
  "www-authenticate",
  "cookie",
  "set-cookie",
  "set-cookie2",
  "expect",
  "if-match",
  "if-none-match",
  "if-modified-since",
  "if-unmodified-since",
  "if-range",
  "max-forwards",
  "cache-control",
  "range",
  "pragma",
  "age",
  "date",
  "location",
  "retry-after",
  "vary",
  "warning",
  "alt-svc",
  "http2-settings",
]);

/**
 * Drops what no trailer may carry. All else passes, in both versions and whether or not the head announced it: `Trailer` is a hint
 * (RFC 9110 §6.6.2), and gRPC puts fields of any name there.
 */
export function filterTrailers(trailers: Fields): void {
  for (let i = 0; i < trailers.names.length; i++) {
    // Many servers read `_` as `-`.
    const name = (trailers.names[i] as string).replaceAll("_", "-");
    if (FORBIDDEN.has(name) || name.startsWith("proxy-")) trailers.drop(i);
  }
}
