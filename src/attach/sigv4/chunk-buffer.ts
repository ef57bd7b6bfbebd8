const FIRST_BYTES = 4096;
const EXTENSION = ";chunk-signature=";
const SIGNATURE_CHARS = 64;

/** One chunk, held until its signature is made; the room for its size line is left in front of it, so that it leaves in one piece. */
export class ChunkBuffer {
  readonly #size: number;
  readonly #sizeText: string;
  readonly #start: number;
  #bytes: Buffer;
  #length = 0;

  /** @param sizeText as the guest spelled it @param size bytes of data */
  constructor(sizeText: string, size: number) {
    this.#sizeText = sizeText;
    this.#size = size;
    this.#start = sizeText.length + EXTENSION.length + SIGNATURE_CHARS + 2;
    this.#bytes = Buffer.allocUnsafeSlow(this.#start + Math.min(size, FIRST_BYTES) + 2);
  }

  /** Grows with what has arrived, never with what was announced, and copies: a slice would keep its whole segment. */
  add(part: Buffer): void {
    const needed = this.#start + this.#length + part.length + 2;
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.min(this.#start + this.#size + 2, Math.max(needed, this.#bytes.length * 2)),
      );
      this.#bytes.copy(grown, this.#start, this.#start, this.#start + this.#length);
      this.#bytes = grown;
    }
    part.copy(this.#bytes, this.#start + this.#length);
    this.#length += part.length;
  }

  get data(): Buffer {
    return this.#bytes.subarray(this.#start, this.#start + this.#length);
  }

  /** The chunk as it goes on the wire; it then belongs to the receiver. @param signature 64 hex characters */
  signed(signature: string): Buffer {
    this.#bytes.write(`${this.#sizeText}${EXTENSION}${signature}\r\n`, 0, "latin1");
    const end = this.#start + this.#length;
    this.#bytes.write("\r\n", end, "latin1");
    return this.#bytes.subarray(0, end + 2);
  }
}
