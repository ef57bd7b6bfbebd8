const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;
const ZERO = 0x30;
/** A longer text is worth a call of its own to have it copied. */
const COPIED_BY_HAND = 64;
/** `\u00ff` for one character. */
const ESCAPED_BYTES = 6;

/**
 * JSON text written straight into bytes, for what is written down of every exchange: pieced together as a string it would be made
 * twice, once as a tree of its pieces and once flat, and copied into bytes as often as somebody wants them. Pure ASCII, so that
 * characters are bytes and no terminal or parser reads a guest's bytes as its own.
 */
export class JsonBytes {
  #buffer: Buffer = Buffer.allocUnsafeSlow(4096);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Keeps the first `length` bytes. */
  cut(length: number): void {
    this.#length = length;
  }

  /** @param text ASCII, as it is */
  raw(text: string): void {
    const { length } = text;
    this.#makeRoom(length);
    if (length > COPIED_BY_HAND) this.#buffer.write(text, this.#length, "latin1");
    else {
      const buffer = this.#buffer;
      const start = this.#length;
      for (let i = 0; i < length; i++) buffer[start + i] = text.charCodeAt(i);
    }
    this.#length += length;
  }

  append(other: JsonBytes): void {
    this.#makeRoom(other.#length);
    this.#length += other.#buffer.copy(this.#buffer, this.#length, 0, other.#length);
  }

  /** @param bytes as they are */
  put(bytes: Buffer): void {
    this.#makeRoom(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** A string (RFC 8259 §7); everything beyond printable ASCII as \uXXXX. */
  quoted(value: string): void {
    this.#makeRoom(value.length * ESCAPED_BYTES + 2);
    const buffer = this.#buffer;
    let at = this.#length;
    buffer[at++] = QUOTE;
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code >= 0x20 && code <= 0x7e && code !== QUOTE && code !== BACKSLASH) buffer[at++] = code;
      else at = this.#escaped(code, at);
    }
    buffer[at++] = QUOTE;
    this.#length = at;
  }

  /** A whole number; what is none, or is negative, is 0: NaN is no JSON. */
  whole(value: number): void {
    if (!(value >= 10)) {
      this.#makeRoom(1);
      this.#buffer[this.#length++] = ZERO + (value > 0 ? Math.trunc(value) : 0);
      return;
    }
    this.raw(value <= Number.MAX_SAFE_INTEGER ? String(Math.trunc(value)) : "0");
  }

  /** A view that the next writing may write over: copy what is to be kept. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  toString(): string {
    return this.#buffer.toString("latin1", 0, this.#length);
  }

  #escaped(code: number, at: number): number {
    const buffer = this.#buffer;
    buffer[at] = BACKSLASH;
    if (code === QUOTE || code === BACKSLASH) {
      buffer[at + 1] = code;
      return at + 2;
    }
    buffer[at + 1] = LOWER_U;
    for (let digit = 0; digit < 4; digit++) buffer[at + 2 + digit] = hexDigit((code >> (12 - 4 * digit)) & 15);
    return at + ESCAPED_BYTES;
  }

  #makeRoom(bytes: number): void {
    const least = this.#length + bytes;
    if (least <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(least * 2);
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}

function hexDigit(value: number): number {
  return value < 10 ? ZERO + value : 0x57 + value;
}
