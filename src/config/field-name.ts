import { quoted } from "./problem.ts";

/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** RFC 9110 §7.6.1 and RFC 9112 §6: these belong to one hop or say where a message ends; an attachment there would be smuggling. */
const OF_THE_HOP = new Set([
  "connection",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "content-length",
  "host",
  "expect",
  "http2-settings",
]);

/** Why a field cannot be named, ending in what to write, or `null`. */
export function fieldNameFault(name: string): string | null {
  if (!TOKEN.test(name))
    return `${quoted(name)}: not a field name: write letters, digits and dashes, such as "x-api-key"`;
  const lower = name.toLowerCase();
  if (OF_THE_HOP.has(lower) || lower.startsWith("proxy-"))
    return `${quoted(name)}: belongs to the connection, not to the request: write another field`;
  return null;
}

/** RFC 6265 §4.1.1: a cookie name is a token. */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}
