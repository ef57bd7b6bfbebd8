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

/** Drops every trailer line that may not pass. @param announced values of the head's `Trailer` fields */
export function filterTrailers(trailers: Fields, announced: readonly string[]): void {
  const named = new Set(announced.flatMap((value) => value.split(",")).map((name) => name.trim().toLowerCase()));
  for (let i = 0; i < trailers.names.length; i++) {
    const name = trailers.names[i] as string;
    const passes =
      isHarmless(name) && (named.has(name) || KNOWN.has(name) || name.startsWith("grpc-") || name.startsWith("x-"));
    if (!passes) trailers.drop(i);
  }
}

/**
 * The same for HTTP/2, where trailers are a section of their own that nobody announces: gRPC puts fields of any name there.
 * Only what no trailer may carry is dropped.
 */
export function filterUnannouncedTrailers(trailers: Fields): void {
  for (let i = 0; i < trailers.names.length; i++) if (!isHarmless(trailers.names[i] as string)) trailers.drop(i);
}

function isHarmless(name: string): boolean {
  return !FORBIDDEN.has(name) && !name.startsWith("proxy-");
}
