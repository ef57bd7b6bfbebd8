import { isUtf8 } from "node:buffer";
import { isLookAlike } from "./look-alike.ts";

/**
 * Puts one value into a JSON text (RFC 8259) and leaves every other byte as it came: numbers keep their digits, members their
 * order. The whole text is held to the grammar in one pass, because what parsers are lenient about they disagree about: a
 * comment, a second member of the same name or one that differs in case alone could be what the upstream reads instead.
 *
 * @param pointer tokens of a JSON pointer (RFC 6901), at least one. Members that are missing are written; elements are not
 * @param value a JSON text
 * @throws BodyFault
 */
export function spliceJson(bytes: Buffer, pointer: readonly string[], value: string): Buffer {
  if (!isUtf8(bytes)) throw new BodyFault("the body is not UTF-8");
  const { start, end, text } = new Scan(bytes, pointer, value).splice();
  return Buffer.concat([bytes.subarray(0, start), Buffer.from(text, "utf8"), bytes.subarray(end)]);
}

/** Why a body cannot take the credential; the message names no content. */
export class BodyFault extends Error {}

/** Deeper texts are no request of a client; each level costs a frame of the stack. */
const MOST_DEPTH = 128;

/** Off the way to the place. */
const ASIDE = -1;

interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

class Scan {
  readonly #bytes: Buffer;
  readonly #pointer: readonly string[];
  readonly #value: string;
  #at = 0;
  #splice: Splice | null = null;

  constructor(bytes: Buffer, pointer: readonly string[], value: string) {
    this.#bytes = bytes;
    this.#pointer = pointer;
    this.#value = value;
  }

  splice(): Splice {
    this.#blanks();
    this.#valueAt(0, 0);
    this.#blanks();
    if (this.#at < this.#bytes.length) throw this.#malformed();
    if (this.#splice === null) throw new BodyFault("the body has no such place");
    return this.#splice;
  }

  /** @param step how many tokens have led here, or `ASIDE` */
  #valueAt(step: number, depth: number): void {
    if (depth > MOST_DEPTH) throw new BodyFault(`the body is nested more than ${MOST_DEPTH} deep`);
    if (step === this.#pointer.length) {
      const start = this.#at;
      this.#valueAt(ASIDE, depth);
      this.#splice = { start, end: this.#at, text: this.#value };
      return;
    }
    switch (this.#bytes[this.#at]) {
      case OPEN_BRACE:
        return this.#object(step, depth);
      case OPEN_BRACKET:
        return this.#array(step, depth);
      default:
        this.#scalar();
        if (step !== ASIDE) throw new BodyFault("the place is inside of what holds nothing");
    }
  }

  #object(step: number, depth: number): void {
    const token = step === ASIDE ? null : (this.#pointer[step] as string);
    const inside = ++this.#at;
    let isEmpty = true;
    let found = false;
    this.#blanks();
    if (this.#bytes[this.#at] === CLOSE_BRACE) this.#at++;
    else {
      isEmpty = false;
      for (;;) {
        const start = this.#at;
        this.#string();
        const isMine = token !== null && this.#isName(start, token);
        if (isMine && found) throw new BodyFault("the body has two members of that name");
        found ||= isMine;
        this.#blanks();
        this.#take(COLON);
        this.#blanks();
        this.#valueAt(isMine ? step + 1 : ASIDE, depth + 1);
        this.#blanks();
        if (this.#bytes[this.#at] === CLOSE_BRACE) break;
        this.#take(COMMA);
        this.#blanks();
      }
      this.#at++;
    }
    if (token === null || found) return;
    this.#splice = { start: inside, end: inside, text: this.#members(step) + (isEmpty ? "" : ",") };
  }

  /** What is missing, from the member that `step` names down to the value. */
  #members(step: number): string {
    const [token, ...rest] = this.#pointer.slice(step).map((name) => JSON.stringify(name));
    return `${token}:${rest.map((name) => `{${name}:`).join("")}${this.#value}${"}".repeat(rest.length)}`;
  }

  /** Whether the string from `start` to here is the name. @throws BodyFault when some upstreams would take it for that */
  #isName(start: number, name: string): boolean {
    const said = JSON.parse(this.#bytes.toString("utf8", start, this.#at)) as string;
    if (said === name) return true;
    if (isLookAlike(said, name)) throw new BodyFault("the body has a member whose name is nearly the same");
    return false;
  }

  #array(step: number, depth: number): void {
    const wanted = step === ASIDE ? ASIDE : indexOf(this.#pointer[step] as string);
    let count = 0;
    this.#at++;
    this.#blanks();
    if (this.#bytes[this.#at] === CLOSE_BRACKET) this.#at++;
    else {
      for (;;) {
        this.#valueAt(count === wanted ? step + 1 : ASIDE, depth + 1);
        count++;
        this.#blanks();
        if (this.#bytes[this.#at] === CLOSE_BRACKET) break;
        this.#take(COMMA);
        this.#blanks();
      }
      this.#at++;
    }
    if (step !== ASIDE && (wanted === ASIDE || wanted >= count)) throw new BodyFault("the body has no such element");
  }

  #scalar(): void {
    const first = this.#bytes[this.#at];
    if (first === QUOTE) this.#string();
    else if (first === LOWER_T) this.#word("true");
    else if (first === LOWER_F) this.#word("false");
    else if (first === LOWER_N) this.#word("null");
    else this.#number();
  }

  #string(): void {
    this.#take(QUOTE);
    for (;;) {
      const byte = this.#bytes[this.#at++];
      if (byte === QUOTE) return;
      if (byte === undefined || byte < 0x20) throw this.#malformed();
      if (byte === BACKSLASH) this.#escape();
    }
  }

  #escape(): void {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined || !ESCAPED.has(byte)) throw this.#malformed();
    if (byte !== LOWER_U) return;
    for (let i = 0; i < 4; i++) if (!isHex(this.#bytes[this.#at++])) throw this.#malformed();
  }

  #word(word: string): void {
    for (let i = 0; i < word.length; i++) this.#take(word.charCodeAt(i));
  }

  /** §6. */
  #number(): void {
    if (this.#bytes[this.#at] === MINUS) this.#at++;
    if (this.#bytes[this.#at] === ZERO) this.#at++;
    else this.#digits();
    if (this.#bytes[this.#at] === DOT) {
      this.#at++;
      this.#digits();
    }
    if (this.#bytes[this.#at] !== LOWER_E && this.#bytes[this.#at] !== UPPER_E) return;
    this.#at++;
    if (this.#bytes[this.#at] === MINUS || this.#bytes[this.#at] === PLUS) this.#at++;
    this.#digits();
  }

  #digits(): void {
    const start = this.#at;
    while (isDigit(this.#bytes[this.#at])) this.#at++;
    if (this.#at === start) throw this.#malformed();
  }

  #blanks(): void {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.#at++;
    }
  }

  #take(wanted: number): void {
    if (this.#bytes[this.#at++] !== wanted) throw this.#malformed();
  }

  #malformed(): BodyFault {
    return new BodyFault(`the body is no JSON at byte ${this.#at}`);
  }
}

/** RFC 6901 §4: no leading zeros. @returns `ASIDE` for what is no index */
function indexOf(token: string): number {
  return /^(?:0|[1-9][0-9]{0,8})$/.test(token) ? Number(token) : ASIDE;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= 57;
}

function isHex(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return isDigit(byte) || ((byte | 32) >= 97 && (byte | 32) <= 102);
}

const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const QUOTE = 34;
const BACKSLASH = 92;
const COLON = 58;
const COMMA = 44;
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
