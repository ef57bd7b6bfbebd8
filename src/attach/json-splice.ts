import { isUtf8 } from "node:buffer";
import { BodyFault } from "./body-fault.ts";
import { JsonReader } from "./json-reader.ts";
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

/** Deeper texts are no request of a client; each level costs a frame of the stack. */
const MOST_DEPTH = 128;

/** Names on the way that take decoding and folding: no client writes so many of them, and each costs a hundred plain ones. */
const MOST_ODD_NAMES = 1000;

/** Off the way to the place. */
const ASIDE = -1;

interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

class Scan {
  readonly #reader: JsonReader;
  readonly #pointer: readonly string[];
  readonly #value: string;
  #oddNames = 0;
  #splice: Splice | null = null;

  constructor(bytes: Buffer, pointer: readonly string[], value: string) {
    this.#reader = new JsonReader(bytes);
    this.#pointer = pointer;
    this.#value = value;
  }

  splice(): Splice {
    const reader = this.#reader;
    reader.blanks();
    this.#valueAt(0, 0);
    reader.blanks();
    if (reader.at < reader.bytes.length) throw reader.malformed();
    if (this.#splice === null) throw new BodyFault("the body has no such place");
    return this.#splice;
  }

  /** @param step how many tokens have led here, or `ASIDE` */
  #valueAt(step: number, depth: number): void {
    const reader = this.#reader;
    if (depth > MOST_DEPTH) throw new BodyFault(`the body is nested more than ${MOST_DEPTH} deep`);
    if (step === this.#pointer.length) {
      const start = reader.at;
      this.#valueAt(ASIDE, depth);
      this.#splice = { start, end: reader.at, text: this.#value };
      return;
    }
    switch (reader.bytes[reader.at]) {
      case OPEN_BRACE:
        return this.#object(step, depth);
      case OPEN_BRACKET:
        return this.#array(step, depth);
      default:
        reader.scalar();
        if (step !== ASIDE) throw new BodyFault("the place is inside of what holds nothing");
    }
  }

  #object(step: number, depth: number): void {
    const reader = this.#reader;
    const token = step === ASIDE ? null : (this.#pointer[step] as string);
    const inside = ++reader.at;
    let isEmpty = true;
    let found = false;
    reader.blanks();
    if (reader.bytes[reader.at] === CLOSE_BRACE) reader.at++;
    else {
      isEmpty = false;
      for (;;) {
        const start = reader.at;
        reader.string();
        const isMine = token !== null && this.#isName(start, token);
        if (isMine && found) throw new BodyFault("the body has two members of that name");
        found ||= isMine;
        reader.blanks();
        reader.take(COLON);
        reader.blanks();
        this.#valueAt(isMine ? step + 1 : ASIDE, depth + 1);
        reader.blanks();
        if (reader.bytes[reader.at] === CLOSE_BRACE) break;
        reader.take(COMMA);
        reader.blanks();
      }
      reader.at++;
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
    const reader = this.#reader;
    if (reader.isPlain) return isPlainName(reader.bytes, start + 1, reader.at - 1, name);
    if (++this.#oddNames > MOST_ODD_NAMES)
      throw new BodyFault(`the body has more than ${MOST_ODD_NAMES} names that are written in an odd way`);
    const said = JSON.parse(reader.bytes.toString("utf8", start, reader.at)) as string;
    if (said === name) return true;
    if (isLookAlike(said, name)) throw nearly();
    return false;
  }

  #array(step: number, depth: number): void {
    const reader = this.#reader;
    const wanted = step === ASIDE ? ASIDE : indexOf(this.#pointer[step] as string);
    let count = 0;
    reader.at++;
    reader.blanks();
    if (reader.bytes[reader.at] === CLOSE_BRACKET) reader.at++;
    else {
      for (;;) {
        this.#valueAt(count === wanted ? step + 1 : ASIDE, depth + 1);
        count++;
        reader.blanks();
        if (reader.bytes[reader.at] === CLOSE_BRACKET) break;
        reader.take(COMMA);
        reader.blanks();
      }
      reader.at++;
    }
    if (step !== ASIDE && (wanted === ASIDE || wanted >= count)) throw new BodyFault("the body has no such element");
  }
}

/**
 * The same for a name in ASCII without escapes, byte by byte: a body may hold a hundred thousand of them, and a text of each would
 * be work for nothing.
 */
function isPlainName(bytes: Buffer, start: number, end: number, name: string): boolean {
  const wanted = name.trim();
  let from = start;
  let to = end;
  while (from < to && bytes[from] === BLANK) from++;
  while (to > from && bytes[to - 1] === BLANK) to--;
  // A name of the config is ASCII: one that is longer or shorter cannot be folded into it.
  if (to - from !== wanted.length) return false;
  for (let i = 0; i < wanted.length; i++) {
    if (upper(bytes[from + i] as number) !== upper(wanted.charCodeAt(i))) return false;
  }
  if (bytes.toString("latin1", start, end) === name) return true;
  throw nearly();
}

function upper(code: number): number {
  return code >= 97 && code <= 122 ? code - 32 : code;
}

function nearly(): BodyFault {
  return new BodyFault("the body has a member whose name is nearly the same");
}

/** RFC 6901 §4: no leading zeros. @returns `ASIDE` for what is no index */
function indexOf(token: string): number {
  return /^(?:0|[1-9][0-9]{0,8})$/.test(token) ? Number(token) : ASIDE;
}

const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const COLON = 58;
const COMMA = 44;
const BLANK = 0x20;
