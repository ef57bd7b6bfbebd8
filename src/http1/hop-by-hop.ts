import type { Fields } from "../core/fields.ts";

/**
 * RFC 9110 §7.6.1: what belongs to one connection is not forwarded. `Trailer` stays, because trailers are forwarded;
 * framing fields are written anew by whoever sends the message.
 */
export function cutRequestHopByHop(fields: Fields, nominated: readonly string[]): void {
  for (let i = 0; i < fields.names.length; i++) {
    const name = fields.names[i] as string;
    switch (name) {
      case "connection":
      case "keep-alive":
      case "te":
      case "transfer-encoding":
      case "upgrade":
      case "http2-settings":
        fields.drop(i);
        break;
      default:
        if (name.startsWith("proxy-")) fields.drop(i);
    }
  }
  for (const name of nominated) fields.dropAll(name);
}

/** The same for a response; `Alt-Svc` goes too (RFC 7838: it would lead clients past the edge). */
export function cutResponseHopByHop(fields: Fields, nominated: readonly string[]): void {
  for (let i = 0; i < fields.names.length; i++) {
    const name = fields.names[i] as string;
    switch (name) {
      case "connection":
      case "keep-alive":
      case "transfer-encoding":
      case "upgrade":
      case "alt-svc":
        fields.drop(i);
        break;
      default:
        if (name.startsWith("proxy-")) fields.drop(i);
    }
  }
  for (const name of nominated) fields.dropAll(name);
}
