import type { Fields } from "../core/fields.ts";

/** Renders heads and chunk framing as Latin-1 strings; the codec's way out. Callers have checked every value. */

/** @param extra further lines, each ended by CRLF */
export function requestHeadText(method: string, target: string, fields: Fields, extra: string): string {
  return `${method} ${target} HTTP/1.1\r\n${fields.render()}${extra}\r\n`;
}

/** @param extra further lines, each ended by CRLF */
export function responseHeadText(status: number, reason: string, fields: Fields, extra: string): string {
  return `HTTP/1.1 ${status} ${reason}\r\n${fields.render()}${extra}\r\n`;
}

/** Chunk size line (RFC 9112 §7.1). */
export function chunkStart(length: number): string {
  return `${length.toString(16)}\r\n`;
}

export const CHUNK_END = "\r\n";

/** Last chunk, trailer section and the empty line. */
export function chunkedEnd(trailers: Fields | null): string {
  return trailers === null ? "0\r\n\r\n" : `0\r\n${trailers.render()}\r\n`;
}
