import { isUtf8 } from "node:buffer";
import { BodyFault } from "./body-fault.ts";
import { isLookAlike } from "./look-alike.ts";
import { percentDecode, percentEncode } from "./percent.ts";

/**
 * Puts one field into a form (`application/x-www-form-urlencoded`, WHATWG URL §5): the guest's fields of that name are cut,
 * ours is appended, every other byte stays as it came.
 * @throws BodyFault for a field that some upstreams would take for ours
 */
export function spliceForm(bytes: Buffer, name: string, value: string): Buffer {
  if (!isUtf8(bytes)) throw new BodyFault("the body is not UTF-8");
  const text = bytes.toString("latin1");
  // Some readers cut a byte order mark, and with it the first name is another one.
  if (text.startsWith(BYTE_ORDER_MARK)) throw new BodyFault("the body begins with a byte order mark");
  if (text.split(/[&;]/, MOST_FIELDS + 1).length > MOST_FIELDS)
    throw new BodyFault(`the body has more than ${MOST_FIELDS} fields`);
  const kept: string[] = [];
  for (const pair of text.split("&")) {
    // Older readers split there too, newer ones do not: what such a field belongs to is anybody's guess.
    const [first = "", ...behind] = pair.split(";");
    if (behind.some((piece) => isTaken(nameIn(piece), name))) throw nearly();
    const said = nameIn(first);
    if (said === name && behind.length === 0) continue;
    if (isTaken(said, name)) throw nearly();
    kept.push(pair);
  }
  kept.push(`${percentEncode(name)}=${percentEncode(value)}`);
  return Buffer.from(kept.length === 2 && kept[0] === "" ? (kept[1] as string) : kept.join("&"), "latin1");
}

/** Each of them is decoded and compared; servers take less. */
const MOST_FIELDS = 10_000;

/** UTF-8 read as Latin-1. */
const BYTE_ORDER_MARK = "\u00ef\u00bb\u00bf";

function nearly(): BodyFault {
  return new BodyFault("the body has a field whose name is nearly the same");
}

function nameIn(piece: string): string {
  const equals = piece.indexOf("=");
  const raw = equals < 0 ? piece : piece.slice(0, equals);
  const bytes = Buffer.from(percentDecode(raw.replaceAll("+", " ")), "latin1");
  // A reader that takes overlong forms would find a name that is not there.
  if (!isUtf8(bytes)) throw new BodyFault("the body has a field whose name is not UTF-8");
  return bytes.toString("utf8");
}

function isTaken(said: string, name: string): boolean {
  if (said === name || isLookAlike(said, name)) return true;
  const wanted = variable(upToBracket(name));
  const text = upToNul(said).trimStart();
  // PHP reads a bracket that nothing closes as one more `_`.
  return [text, upToBracket(text)].some(
    (read) => read.length <= name.length * 4 && isLookAlike(variable(read), wanted),
  );
}

function upToNul(text: string): string {
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}

/** PHP and its like read `a[]`, `a[0]` and `a.b` as variables `a` and `a_b`. */
function upToBracket(name: string): string {
  const bracket = name.indexOf("[", 1);
  return bracket < 0 ? name : name.slice(0, bracket);
}

function variable(name: string): string {
  return name.replaceAll(/[. [\]]/g, "_");
}
