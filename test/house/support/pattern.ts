import { createHash } from "node:crypto";
import { Readable } from "node:stream";

/**
 * Bodies of any size with a known hash: byte `i` is `BLOCK[i % BLOCK.length]`. The block's length is a prime, so that a
 * chunk that was lost, doubled or moved changes the hash.
 */
const BLOCK = createHash("shake256", { outputLength: 65_521 }).update("postern").digest();

/** Bytes `start` to `end` (exclusive) of the endless pattern, in chunks. */
export function patternStream(start: number, end: number): Readable {
  return Readable.from(patternChunks(start, end), { objectMode: false, highWaterMark: 1 << 17 });
}

export function patternBytes(start: number, end: number): Buffer {
  return Buffer.concat([...patternChunks(start, end)]);
}

/** Hex SHA-256 of the first `bytes` bytes. */
export function patternSha256(bytes: number): string {
  const hash = createHash("sha256");
  for (const chunk of patternChunks(0, bytes)) hash.update(chunk);
  return hash.digest("hex");
}

function* patternChunks(start: number, end: number): Generator<Buffer> {
  for (let at = start; at < end;) {
    const from = at % BLOCK.length;
    const to = Math.min(BLOCK.length, from + end - at);
    yield BLOCK.subarray(from, to);
    at += to - from;
  }
}
