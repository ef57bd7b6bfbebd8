/** RFC 3986 §2.1: every byte of the UTF-8 text but the unreserved ones (§2.3) becomes `%XX`. @param text well-formed */
export function percentEncode(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/**
 * Undoes one layer of percent-encoding.
 * @param text Latin-1
 * @returns Latin-1, a character a byte; what is no `%XX` stays as it is
 */
export function percentDecode(text: string): string {
  let at = text.indexOf("%");
  if (at < 0) return text;
  let out = "";
  let from = 0;
  while (at >= 0) {
    const byte = hexPair(text, at + 1);
    if (byte >= 0) {
      out += text.slice(from, at) + String.fromCharCode(byte);
      from = at + 3;
    }
    at = text.indexOf("%", byte >= 0 ? from : at + 1);
  }
  return out + text.slice(from);
}

function hexPair(text: string, at: number): number {
  const high = hexDigit(text.charCodeAt(at));
  const low = hexDigit(text.charCodeAt(at + 1));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/** NaN, past the end, is no digit. */
function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
