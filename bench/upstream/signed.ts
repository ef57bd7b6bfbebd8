import { CHUNK_BYTES, namesKey, type Seed, SIGNED_HOST, STREAMING, verifyChunks, verifyHead } from "../wire/sigv4.ts";

/** One request in so many is verified to the last byte of its head; all of them have to be signed with the right key. */
const SAMPLE = 64;
/** Of an upload the first chunks are verified: hashing 100 MB here would be what limits the upload. */
const CHUNKS_BYTES = 4 * CHUNK_BYTES;

const FOR_SIGNED = new RegExp(`\\r\\nhost: *${SIGNED_HOST.replaceAll(".", "\\.")}:`, "i");

export function isForSigned(head: string): boolean {
  return FOR_SIGNED.test(head);
}

/** Holds what is sent to the destination that is signed for to its signatures, a sample of them. */
export class SignatureCheck {
  #seen = 0;
  #seed: Seed | null = null;
  #held: Buffer[] = [];
  #heldBytes = 0;

  /** @returns whether the head may pass */
  head(head: string): boolean {
    this.#seed = null;
    if (!namesKey(head)) return false;
    const streams = head.includes(STREAMING);
    if (!streams && this.#seen++ % SAMPLE !== 0) return true;
    const seed = verifyHead(head);
    if (streams) this.#seed = seed;
    return seed !== null;
  }

  body(chunk: Buffer, start: number, end: number): void {
    if (this.#seed === null || this.#heldBytes >= CHUNKS_BYTES) return;
    // What a socket read may be overwritten by the next one.
    this.#held.push(Buffer.from(chunk.subarray(start, end)));
    this.#heldBytes += end - start;
  }

  /** @returns whether what was held of the body is signed */
  end(): boolean {
    const seed = this.#seed;
    if (seed === null) return true;
    const bytes = Buffer.concat(this.#held);
    this.#seed = null;
    this.#held = [];
    this.#heldBytes = 0;
    return verifyChunks(seed, bytes);
  }
}
