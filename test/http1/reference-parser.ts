/**
 * A slow, obvious parser of the same strict grammar: whole strings, one regular expression a rule, nothing shared with
 * `src/http1/`. What the codec accepts and what this accepts must be the same.
 */
export type Reference =
  | { readonly kind: "incomplete" }
  | { readonly kind: "refused" }
  | {
      readonly kind: "head";
      readonly start: readonly string[];
      readonly fields: readonly (readonly [string, string])[];
      readonly bytes: number;
    };

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([\\x21-\\x7e]+) (HTTP/1\\.[01])$`);
const STATUS_LINE = /^(HTTP\/1\.[01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
const FIELD_LINE = new RegExp(`^(${TOKEN}):([\\t\\x20-\\x7e\\x80-\\xff]*)$`);

export function referenceRequest(bytes: Buffer): Reference {
  const read = referenceHead(bytes, REQUEST_LINE);
  const cannotBegin = bytes.length > 0 && !new RegExp(`^${TOKEN}`).test(bytes.toString("latin1"));
  return read.kind === "incomplete" && cannotBegin ? { kind: "refused" } : read;
}

export function referenceResponse(bytes: Buffer): Reference {
  return referenceHead(bytes, STATUS_LINE);
}

function referenceHead(bytes: Buffer, startLine: RegExp): Reference {
  const text = bytes.toString("latin1");
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return /(^|[^\r])\n/.test(text) ? { kind: "refused" } : { kind: "incomplete" };
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  const start = startLine.exec(first);
  if (start === null) return { kind: "refused" };
  const fields: [string, string][] = [];
  for (const line of lines) {
    const field = FIELD_LINE.exec(line);
    if (field === null) return { kind: "refused" };
    fields.push([field[1] as string, (field[2] as string).replace(/^[\t ]+|[\t ]+$/g, "")]);
  }
  return { kind: "head", start: start.slice(1).map((part) => part ?? ""), fields, bytes: end + 4 };
}

const OF_THE_MESSAGE = /^(host|content-length|transfer-encoding|content-type|content-encoding|expect)$/i;

/** The fields that a request's `Connection` nominates, or `null` where it is refused. */
export function referenceNominated(value: string): readonly string[] | null {
  const options = value
    .split(",")
    .map((option) => option.replace(/^[\t ]+|[\t ]+$/g, ""))
    .filter((option) => option !== "");
  if (options.some((option) => !new RegExp(`^${TOKEN}$`).test(option) || OF_THE_MESSAGE.test(option))) return null;
  return options.map((option) => option.toLowerCase()).filter((option) => !/^(close|keep-alive|upgrade)$/.test(option));
}

/** The body that a strict reader takes, or `null` when the framing is refused or not complete. */
export function referenceChunked(
  bytes: Buffer,
): { readonly body: string; readonly trailers: readonly (readonly [string, string])[]; readonly bytes: number } | null {
  const text = bytes.toString("latin1");
  let at = 0;
  let body = "";
  for (;;) {
    const size = /^([0-9a-fA-F]{1,13})(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n/.exec(text.slice(at));
    if (size === null) return null;
    at += size[0].length;
    const length = Number.parseInt(size[1] as string, 16);
    if (length === 0) break;
    if (text.length < at + length + 2) return null;
    body += text.slice(at, at + length);
    at += length;
    if (text.slice(at, at + 2) !== "\r\n") return null;
    at += 2;
  }
  const trailers: [string, string][] = [];
  for (;;) {
    const eol = text.indexOf("\r\n", at);
    if (eol < 0) return null;
    const line = text.slice(at, eol);
    at = eol + 2;
    if (line === "") return { body, trailers, bytes: at };
    const field = FIELD_LINE.exec(line);
    if (field === null) return null;
    trailers.push([field[1] as string, (field[2] as string).replace(/^[\t ]+|[\t ]+$/g, "")]);
  }
}
