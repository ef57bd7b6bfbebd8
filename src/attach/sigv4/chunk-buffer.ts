const FIRST_BYTES = 4096;
const EXTENSION = ";chunk-signature=";
const SIGNATURE_CHARS = 64;

/** One chunk, held until its signature is made; the room for its size line is left in front of it, so that it leaves in one piece. */
export class ChunkBuffer {
  readonly #size: number;
  readonly #front: string;
  readonly #start: number;
  readonly #take: (bytes: number) => void;
  #bytes: Buffer;
  #length = 0;
  #taken = 0;

  /**
   * @param lead what goes before its size line: the end of the chunk before it
   * @param sizeText as the guest spelled it
   * @param size bytes of data
   * @param take is asked for the bytes before they are allocated, and throws when there are none
   */
  constructor(lead: string, sizeText: string, size: number, take: (bytes: number) => void) {
    this.#take = take;
    this.#front = `${lead}${sizeText}${EXTENSION}`;
    this.#size = size;
    this.#start = this.#front.length + SIGNATURE_CHARS + 2;
    this.#bytes = this.#allocate(this.#start + Math.min(size, FIRST_BYTES));
  }

  /** Grows with what has arrived, never with what was announced, and copies: a slice would keep its whole segment. */
  add(part: Buffer): void {
    const needed = this.#start + this.#length + part.length;
    if (needed > this.#bytes.length) {
      const grown = this.#allocate(Math.min(this.#start + this.#size, Math.max(needed, this.#bytes.length * 2)));
      this.#bytes.copy(grown, this.#start, this.#start, this.#start + this.#length);
      this.#bytes = grown;
    }
    part.copy(this.#bytes, this.#start + this.#length);
    this.#length += part.length;
  }

  /** @param size of the whole buffer: what was held before is held on, and is counted already */
  #allocate(size: number): Buffer {
    this.#take(size - this.#taken);
    this.#taken = size;
    return Buffer.allocUnsafeSlow(size);
  }

  get data(): Buffer {
    return this.#bytes.subarray(this.#start, this.#start + this.#length);
  }

  /** The chunk as it goes on the wire, without the CRLF behind it; it then belongs to the receiver. @param signature 64 hex characters */
  signed(signature: string): Buffer {
    this.#bytes.write(`${this.#front}${signature}\r\n`, 0, "latin1");
    return this.#bytes.subarray(0, this.#start + this.#length);
  }
}
