import type { Fields } from "../core/fields.ts";

/**
 * RFC 9110 §6.5.1: a trailer may not carry framing, routing, authentication or content-handling fields, since receivers
 * merge it late or not at all. Passed are only names from this list or those that the head announced in `Trailer`.
 */
const KNOWN = new Set([
  "digest",
  "content-digest",
  "repr-digest",
  "content-md5",
  "etag",
  "expires",
  "server-timing",
  "signature",
  "signature-input",
]);

const FORBIDDEN = new Set([
  "host",
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
 * Drops the trailer lines that may never pass. For HTTP/2, where trailers are part of every message and nobody announces them
 * (gRPC puts an application's own names there).
 */
export function dropForbiddenTrailers(trailers: Fields): void {
  for (let i = 0; i < trailers.names.length; i++) {
    const name = trailers.names[i] as string;
    if (FORBIDDEN.has(name) || name.startsWith("proxy-")) trailers.drop(i);
  }
}

/** Drops every trailer line that may not pass. @param announced values of the head's `Trailer` fields */
export function filterTrailers(trailers: Fields, announced: readonly string[]): void {
  const named = new Set(announced.flatMap((value) => value.split(",")).map((name) => name.trim().toLowerCase()));
  for (let i = 0; i < trailers.names.length; i++) {
    const name = trailers.names[i] as string;
    const passes =
      !FORBIDDEN.has(name) &&
      !name.startsWith("proxy-") &&
      (named.has(name) || KNOWN.has(name) || name.startsWith("grpc-") || name.startsWith("x-"));
    if (!passes) trailers.drop(i);
  }
}
