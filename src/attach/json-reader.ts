import { BodyFault } from "./body-fault.ts";

/** Reads the pieces of a JSON text (RFC 8259) to its grammar, and keeps none of them. */
export class JsonReader {
  readonly bytes: Buffer;
  at = 0;
  /** The last string holds neither escapes nor bytes beyond ASCII. */
  isPlain = true;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  scalar(): void {
    const first = this.bytes[this.at];
    if (first === QUOTE) this.string();
    else if (first === LOWER_T) this.#word("true");
    else if (first === LOWER_F) this.#word("false");
    else if (first === LOWER_N) this.#word("null");
    else this.#number();
  }

  string(): void {
    const bytes = this.bytes;
    this.take(QUOTE);
    let isPlain = true;
    for (;;) {
      const byte = bytes[this.at++];
      if (byte === QUOTE) break;
      if (byte === undefined || byte < 0x20) throw this.malformed();
      if (byte >= 0x80) isPlain = false;
      if (byte !== BACKSLASH) continue;
      isPlain = false;
      this.#escape();
    }
    this.isPlain = isPlain;
  }

  #escape(): void {
    const byte = this.bytes[this.at++];
    if (byte === undefined || !ESCAPED.has(byte)) throw this.malformed();
    if (byte !== LOWER_U) return;
    for (let i = 0; i < 4; i++) if (!isHex(this.bytes[this.at++])) throw this.malformed();
  }

  #word(word: string): void {
    for (let i = 0; i < word.length; i++) this.take(word.charCodeAt(i));
  }

  /** §6. */
  #number(): void {
    if (this.bytes[this.at] === MINUS) this.at++;
    if (this.bytes[this.at] === ZERO) this.at++;
    else this.#digits();
    if (this.bytes[this.at] === DOT) {
      this.at++;
      this.#digits();
    }
    if (this.bytes[this.at] !== LOWER_E && this.bytes[this.at] !== UPPER_E) return;
    this.at++;
    if (this.bytes[this.at] === MINUS || this.bytes[this.at] === PLUS) this.at++;
    this.#digits();
  }

  #digits(): void {
    const start = this.at;
    while (isDigit(this.bytes[this.at])) this.at++;
    if (this.at === start) throw this.malformed();
  }

  blanks(): void {
    for (;;) {
      const byte = this.bytes[this.at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.at++;
    }
  }

  take(wanted: number): void {
    if (this.bytes[this.at++] !== wanted) throw this.malformed();
  }

  malformed(): BodyFault {
    return new BodyFault(`the body is no JSON at byte ${this.at}`);
  }
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= 57;
}

function isHex(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return isDigit(byte) || ((byte | 32) >= 97 && (byte | 32) <= 102);
}

const QUOTE = 34;
const BACKSLASH = 92;
const MINUS = 45;
const PLUS = 43;
const DOT = 46;
const ZERO = 48;
const LOWER_E = 101;
const UPPER_E = 69;
const LOWER_F = 102;
const LOWER_N = 110;
const LOWER_T = 116;
const LOWER_U = 117;
const ESCAPED: ReadonlySet<number> = new Set(Buffer.from('"\\/bfnrtu', "latin1"));
