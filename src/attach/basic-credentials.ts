/**
 * The inside of `Basic <base64>` (RFC 7617 §2): SDKs and git put a stand-in there as the password.
 * @param value a field value
 * @returns the scheme as it was spelled with its blanks, and the decoded bytes as Latin-1; `null` when the value is no such thing
 */
export function openBasic(value: string): { readonly scheme: string; readonly pair: string } | null {
  // RFC 9110 §11.1: the scheme is case-insensitive; §11.4: one or more blanks follow.
  const match = /^basic +/i.exec(value);
  if (match === null) return null;
  const token = value.slice(match[0].length);
  if (!BASE64.test(token)) return null;
  return { scheme: match[0], pair: Buffer.from(token, "base64").toString("latin1") };
}

/** @param pair bytes as Latin-1 */
export function sealBasic(scheme: string, pair: string): string {
  return scheme + Buffer.from(pair, "latin1").toString("base64");
}

/** The standard alphabet only, padded or not: a stand-in in clear text always holds a hyphen and is never taken for this. */
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
