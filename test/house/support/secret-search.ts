/**
 * Looks for secrets in whatever a run wrote, in every form that they are likely to be written in. Thousands of secrets and tens of
 * megabytes are one pass: the first bytes of every form are in a table that each position of the text is looked up in.
 */

export interface Hit {
  /** Name of the secret, never its value. */
  readonly secret: string;
  readonly form: string;
  readonly where: string;
  /** Byte offset. */
  readonly at: number;
}

interface Pattern {
  readonly secret: string;
  readonly form: string;
  readonly bytes: Buffer;
}

/** Forms are told by their first bytes; shorter ones would be found in anything. */
const WINDOW = 8;
const TABLE_BITS = 20;

export class SecretSearch {
  /** Bytes searched so far. */
  searched = 0;
  readonly #known = new Set<string>();
  readonly #patterns = new Map<number, Pattern[]>();
  readonly #table = new Uint8Array(1 << TABLE_BITS);

  /** Secrets looked for, each counted once. */
  get size(): number {
    return this.#known.size;
  }

  /** @throws Error when the value is too short to be told from other text */
  add(name: string, value: string | Buffer): void {
    const bytes = Buffer.from(value);
    const key = bytes.toString("latin1");
    if (this.#known.has(key)) return;
    if (bytes.length < WINDOW) throw new Error(`the secret ${name} is shorter than ${WINDOW} bytes`);
    this.#known.add(key);
    for (const [form, written] of formsOf(bytes)) {
      const pattern = { secret: name, form, bytes: Buffer.from(written, "latin1") };
      const slot = hashAt(pattern.bytes, 0);
      this.#table[slot] = 1;
      this.#patterns.set(slot, [...(this.#patterns.get(slot) ?? []), pattern]);
    }
  }

  /** A private key or another PEM: the whole text, and each line of it, for the lines may be joined in any way. */
  addPem(name: string, pem: string): void {
    this.add(name, pem.trim());
    const lines = pem.split(/\r?\n/).filter((line) => line.length > WINDOW && !line.startsWith("-----"));
    lines.forEach((line, i) => this.add(`${name}, line ${i + 1}`, line));
    this.add(`${name}, lines joined`, lines.join(""));
  }

  /** @param where names the text in a hit */
  search(text: string | Buffer, where: string): Hit[] {
    const bytes = Buffer.from(text);
    this.searched += bytes.length;
    const hits: Hit[] = [];
    for (let at = 0; at + WINDOW <= bytes.length; at++) {
      const slot = hashAt(bytes, at);
      if (this.#table[slot] === 0) continue;
      for (const { secret, form, bytes: wanted } of this.#patterns.get(slot) ?? [])
        if (bytes.subarray(at, at + wanted.length).equals(wanted)) hits.push({ secret, form, where, at });
    }
    return hits;
  }
}

function hashAt(bytes: Buffer, at: number): number {
  const low = (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
  const high = (bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24)) >>> 0;
  return (Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b)) >>> (32 - TABLE_BITS);
}

/** Every form of a secret, as Latin-1; the same text under two names is one. */
function formsOf(bytes: Buffer): ReadonlyMap<string, string> {
  const forms = new Map<string, string>();
  const seen = new Set<string>();
  const put = (form: string, text: string): void => {
    if (text.length < WINDOW || seen.has(text)) return;
    seen.add(text);
    forms.set(form, text);
  };
  const raw = bytes.toString("latin1");
  put("raw", raw);
  for (let offset = 0; offset < 3; offset++) {
    const text = base64At(bytes, offset);
    put(`base64 at ${offset}`, text);
    put(`base64url at ${offset}`, text.replaceAll("+", "-").replaceAll("/", "_"));
  }
  put("hex", bytes.toString("hex"));
  put("HEX", bytes.toString("hex").toUpperCase());
  for (const isKept of [UNRESERVED, UNRESERVED_AND_SLASH, NOTHING]) {
    const upper = percent(raw, isKept);
    put(`percent, ${String(isKept)}`, upper);
    put(
      `percent, ${String(isKept)}, small`,
      upper.replaceAll(/%../g, (triplet) => triplet.toLowerCase()),
    );
    put(`form, ${String(isKept)}`, upper.replaceAll("%20", "+"));
  }
  const json = JSON.stringify(bytes.toString("utf8")).slice(1, -1);
  put("JSON", Buffer.from(json).toString("latin1"));
  put("JSON in JSON", Buffer.from(JSON.stringify(json).slice(1, -1)).toString("latin1"));
  put("JSON with slashes", Buffer.from(json.replaceAll("/", "\\/")).toString("latin1"));
  put(
    "JSON, all escaped",
    raw.replaceAll(/[^]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`),
  );
  return forms;
}

/** What base64 makes of the bytes behind `offset` others, without the characters that its neighbours have a say in. */
function base64At(bytes: Buffer, offset: number): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64");
  return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
}

const UNRESERVED = /[A-Za-z0-9._~-]/;
const UNRESERVED_AND_SLASH = /[A-Za-z0-9._~/-]/;
const NOTHING = /[^]{2}/;

function percent(raw: string, isKept: RegExp): string {
  return raw.replaceAll(/[^]/g, (c) =>
    isKept.test(c) ? c : `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}
