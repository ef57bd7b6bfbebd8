/** One spelling of injected material. */
export interface Form {
  readonly text: string;
  /** The end of `text`, or all of it when it is short: what is looked for in unescaped text (see `HEAD`). */
  readonly tail: string;
  /** Looked for without regard to case; `text` is lower case then. */
  readonly folded: boolean;
  /** Counts only where no letter or digit stands beside it. */
  readonly alone: boolean;
  /** Characters before and after it that hold bits of the material too and are masked with it. */
  readonly before: 0 | 1;
  readonly after: 0 | 1;
}

/**
 * Below this length a value is looked for only as it is and only where it stands alone, since pieces of it are everywhere:
 * `a1` would mask half of every answer. What carried it (`Bearer a1b2c3`, the base64 of a pair) is as a rule long enough
 * to be looked for like any other value.
 */
export const SHORTEST_VALUE = 8;

/**
 * Every form in which injected material can come back: raw, hexadecimal, and base64 and base64url at each of the three
 * places within a group. Percent, JSON and HTML spellings are no forms of their own: texts are unescaped before they are
 * searched, so that any choice of characters that an encoder escapes is covered.
 * @param values plain, as `Injected.values`
 */
export function formsOf(values: readonly string[]): readonly Form[] {
  const forms = new Map<string, Form>();
  const add = (form: Form) => forms.set(`${form.folded} ${form.text}`, form);
  for (const value of values) {
    if (value.length > 0 && value.length < SHORTEST_VALUE) add({ ...plain(value), alone: true });
  }
  for (const value of smallest(values.filter(({ length }) => length >= SHORTEST_VALUE))) {
    for (const spelling of spellings(value)) add(plain(spelling));
    for (const bytes of encodings(value)) {
      add({ ...plain(bytes.toString("hex")), folded: true });
      for (const form of base64Forms(bytes)) add(form);
    }
  }
  return [...forms.values()];
}

/** A value that holds another one is masked where it matters when that other one is. */
function smallest(values: readonly string[]): string[] {
  return values.filter((value) => !values.some((other) => other !== value && value.includes(other)));
}

/**
 * A guest can have an upstream put `%`, `\u` or `&#` right before the material, so that unescaping takes the beginning of
 * the material for the rest of an escape (`%` and `ab12...`). No escape reaches further than this into it; as many
 * characters of the guest may be masked along with it.
 */
const HEAD = 5;
const SHORTEST_WITH_HEAD = 16;

function plain(text: string): Form {
  const tail = text.length < SHORTEST_WITH_HEAD ? text : text.slice(HEAD);
  return { text, tail, folded: false, alone: false, before: 0, after: 0 };
}

/** Texts that the value reads as: itself, its UTF-8 bytes read as Latin-1, and both with a form's `+` for a blank. */
function spellings(value: string): Set<string> {
  const texts = [value, Buffer.from(value, "utf8").toString("latin1")];
  return new Set([...texts, ...texts.map((text) => text.replaceAll(" ", "+"))]);
}

/** The bytes that an upstream may have seen: Latin-1 as it came over the wire, UTF-8 as it was stored. */
function encodings(value: string): Buffer[] {
  const utf8 = Buffer.from(value, "utf8");
  const latin1 = Buffer.from(value, "latin1");
  const isLatin1 = latin1.toString("latin1") === value;
  return isLatin1 && !latin1.equals(utf8) ? [utf8, latin1] : [utf8];
}

/**
 * RFC 4648 §4 and §5: three bytes become four characters, so a run of bytes has three encodings, by its place. Kept are the
 * characters that no neighbour decides; the one beside them holds bits of both and is masked as well.
 */
function* base64Forms(bytes: Buffer): Generator<Form> {
  for (const place of [0, 1, 2]) {
    const firstBit = place * 8;
    const endBit = firstBit + bytes.length * 8;
    const text = Buffer.concat([Buffer.alloc(place), bytes]).toString("base64");
    const inner = text.slice(Math.ceil(firstBit / 6), Math.floor(endBit / 6));
    const before = firstBit % 6 === 0 ? 0 : 1;
    const after = endBit % 6 === 0 ? 0 : 1;
    yield { ...plain(inner), before, after };
    const url = inner.replaceAll("+", "-").replaceAll("/", "_");
    if (url !== inner) yield { ...plain(url), before, after };
  }
}
