import { createHash } from "node:crypto";
import type { Authority } from "../core/authority.ts";
import type { OutboundHead } from "../core/exchange.ts";
import type { HmacSpec, SignedPart, TemplatePiece } from "../core/signing.ts";
import { type AttachTools, unusable } from "./attachment.ts";

/** What the parts of a template stand for in one request. */
export interface TemplateSource {
  readonly head: OutboundHead;
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  readonly body: Buffer;
  readonly keyId: string | null;
  readonly timestamp: string;
  readonly nonce: string;
  readonly signature: string;
}

/** @returns Latin-1 text, a character a byte as on the wire, or bytes */
export function pieceValue(piece: TemplatePiece, source: TemplateSource): string | Buffer {
  return typeof piece === "string" ? piece : partValue(piece, source);
}

function partValue(part: SignedPart, source: TemplateSource): string | Buffer {
  const { head } = source;
  switch (part.of) {
    case "method":
      return head.method;
    case "target":
      return head.target;
    case "path":
      return splitTarget(head.target).path;
    case "query":
      return splitTarget(head.target).query ?? "";
    case "authority":
      return hostOf(source);
    case "header":
      return head.fields.allSent(part.name).join(", ");
    case "body":
      return source.body;
    case "body_digest":
      return createHash(part.hash).update(source.body).digest(part.encoding);
    case "key_id":
      if (source.keyId === null) throw unusable("the template names a key id, and the key has none");
      return source.keyId;
    case "timestamp":
    case "nonce":
    case "signature":
      return source[part.of];
  }
}

/** As the request names it. */
function hostOf({ head, authority, scheme }: TemplateSource): string {
  return head.fields.allSent("host")[0] ?? authority.hostField(scheme);
}

/** @returns the query without its question mark, or `null` where there is none */
export function splitTarget(target: string): { readonly path: string; readonly query: string | null } {
  const mark = target.indexOf("?");
  return mark < 0 ? { path: target, query: null } : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

/** Whether a template needs the body. */
export function readsBody(pieces: readonly TemplatePiece[]): boolean {
  return pieces.some((piece) => typeof piece !== "string" && (piece.of === "body" || piece.of === "body_digest"));
}

export function reads(pieces: readonly TemplatePiece[], of: SignedPart["of"]): boolean {
  return pieces.some((piece) => typeof piece !== "string" && piece.of === of);
}

/** @param wallMs since the epoch */
export function timestampText(wallMs: number, format: HmacSpec["timestamp"]): string {
  switch (format) {
    case "seconds":
      return String(Math.floor(wallMs / 1000));
    case "milliseconds":
      return String(Math.floor(wallMs));
    case "rfc3339":
      return `${new Date(wallMs).toISOString().slice(0, 19)}Z`;
    case "http_date":
      return new Date(wallMs).toUTCString();
  }
}

const NONCE_BYTES = 16;

export function nonceText(randomBytes: AttachTools["randomBytes"], format: HmacSpec["nonce"]): string {
  const bytes = randomBytes(NONCE_BYTES);
  if (format !== "uuid") return bytes.toString(format);
  // RFC 9562 §5.4: version 4, variant 10.
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
