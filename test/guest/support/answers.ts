/** Answers as a guest takes them apart: a second, forgiving reader beside the house's own. */
export interface Answer {
  readonly status: number;
  /** Lower-case names. */
  readonly fields: ReadonlyMap<string, string>;
  readonly body: string;
  /** Its framing says that it ended. */
  readonly whole: boolean;
}

/**
 * @param text everything that came, Latin-1
 * @param methods of the requests, in order; HEAD is answered without a body
 * @returns the final answers in order; what follows a 101 or a 2xx to CONNECT is the last one's body
 */
export function answersIn(text: string, methods: readonly string[]): Answer[] {
  const answers: Answer[] = [];
  let at = 0;
  while (at < text.length) {
    const end = text.indexOf("\r\n\r\n", at);
    if (end < 0) break;
    const [statusLine = "", ...lines] = text.slice(at, end).split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) throw new Error(`no answer begins with ${JSON.stringify(statusLine)}`);
    const fields = new Map(lines.map((line): [string, string] => fieldOf(line)));
    at = end + 4;
    if (status > 101 && status < 200) continue;
    if (status === 100) continue;
    const method = methods[answers.length] ?? "";
    const { body, length, whole } = bodyAt(text, at, status, method, fields);
    answers.push({ status, fields, body, whole });
    at += length;
  }
  return answers;
}

function fieldOf(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}

interface Body {
  readonly body: string;
  readonly length: number;
  readonly whole: boolean;
}

function bodyAt(text: string, at: number, status: number, method: string, fields: ReadonlyMap<string, string>): Body {
  const rest = text.slice(at);
  if (status === 101 || (method === "CONNECT" && status < 300)) return { body: rest, length: rest.length, whole: true };
  if (method === "HEAD" || status === 204 || status === 304) return { body: "", length: 0, whole: true };
  if (fields.get("transfer-encoding") === "chunked") return chunkedAt(rest);
  const said = fields.get("content-length");
  if (said === undefined) return { body: rest, length: rest.length, whole: false };
  const body = rest.slice(0, Number(said));
  return { body, length: body.length, whole: body.length === Number(said) };
}

function chunkedAt(rest: string): Body {
  let body = "";
  let at = 0;
  for (;;) {
    const lineEnd = rest.indexOf("\r\n", at);
    if (lineEnd < 0) return { body, length: rest.length, whole: false };
    const size = Number.parseInt(rest.slice(at, lineEnd), 16);
    if (size === 0) {
      const end = rest.indexOf("\r\n\r\n", lineEnd);
      return end < 0 ? { body, length: rest.length, whole: false } : { body, length: end + 4, whole: true };
    }
    body += rest.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 4 + size;
    if (at > rest.length) return { body, length: rest.length, whole: false };
  }
}
