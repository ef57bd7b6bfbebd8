import { percentDecode } from "../percent.ts";

/** The parameters by which a query can say who asks, in lower case: signatures of version 4, session tokens, version 2. */
const AUTH_KEYS: ReadonlySet<string> = new Set([
  "x-amz-algorithm",
  "x-amz-credential",
  "x-amz-date",
  "x-amz-expires",
  "x-amz-signedheaders",
  "x-amz-signature",
  "x-amz-security-token",
  "x-amz-s3session-token",
  "x-amz-region-set",
  "awsaccesskeyid",
]);

export interface QueryParts {
  /** The target without what only the edge may say; every other byte stays. */
  readonly target: string;
  /** Decoded values of what was taken out, by lower-case key. */
  readonly auth: ReadonlyMap<string, readonly string[]>;
}

/**
 * Takes the authorization out of a query, in every spelling of its keys. `;` separates as well: what one server reads as part
 * of a value is a key of its own to the next.
 * @param target raw path and query, Latin-1
 */
export function splitQuery(target: string): QueryParts {
  const mark = target.indexOf("?");
  if (mark < 0) return { target, auth: NOTHING };
  const auth = new Map<string, string[]>();
  let kept = "";
  for (const { key, value, text } of parameters(target)) {
    if (AUTH_KEYS.has(key)) {
      const values = auth.get(key);
      if (values === undefined) auth.set(key, [value]);
      else values.push(value);
    }
    // Each brings the separator before it; the first one stands behind the question mark.
    else kept += kept === "" ? `?${text.slice(1)}` : text;
  }
  return auth.size === 0 ? { target, auth: NOTHING } : { target: target.slice(0, mark) + kept, auth };
}

const NOTHING: ReadonlyMap<string, readonly string[]> = new Map();

/** Decoded values of a parameter. @param wanted lower case */
export function valuesIn(target: string, wanted: string): readonly string[] {
  if (!target.includes("?")) return [];
  return [...parameters(target)].filter(({ key }) => key === wanted).map(({ value }) => value);
}

/** How many parameters there can be, whichever way a server takes the query apart. */
export function separatorsIn(target: string): number {
  let count = 0;
  for (let i = 0; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code === 38 || code === 59) count++;
  }
  return count;
}

interface Parameter {
  /** Decoded, lower case. */
  readonly key: string;
  /** Decoded. */
  readonly value: string;
  /** As it stands, the separator before it included. */
  readonly text: string;
}

function* parameters(target: string): Generator<Parameter> {
  let start = target.indexOf("?");
  while (start < target.length) {
    let end = start + 1;
    while (end < target.length && target[end] !== "&" && target[end] !== ";") end++;
    const text = target.slice(start, end);
    const equals = text.indexOf("=");
    const key = equals < 0 ? text.slice(1) : text.slice(1, equals);
    yield { key: decoded(key).toLowerCase(), value: equals < 0 ? "" : decoded(text.slice(equals + 1)), text };
    start = end;
  }
}

function decoded(raw: string): string {
  return percentDecode(raw.replaceAll("+", " "));
}
