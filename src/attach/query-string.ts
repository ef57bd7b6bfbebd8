import { percentDecode } from "./percent.ts";

const AMPERSAND = 38;
const SEMICOLON = 59;
const EQUALS = 61;

/**
 * Visits the parameters of a raw target whose key is `key`, in every spelling (`k%65y`, `+` for a blank), case exact.
 * `;` separates too: older servers split there, and a guest could hide its own key behind it.
 * @param target path and query as they were sent, Latin-1
 * @param key plain text
 * @param rewrite gets the raw value ("" when there is no `=`); returns the raw value to send, or `null` to cut the parameter
 * @returns the target; every byte that was not rewritten or cut stays
 */
export function rewriteQuery(target: string, key: string, rewrite: (raw: string) => string | null): string {
  const mark = target.indexOf("?");
  if (mark < 0) return target;
  const wanted = Buffer.from(key, "utf8").toString("latin1");
  let out = "";
  let changed = false;
  for (let start = mark + 1; start <= target.length;) {
    const keyEnd = endOf(target, start, EQUALS);
    const end = endOf(target, keyEnd, AMPERSAND);
    let segment: string | null = target.slice(start, end);
    if (decodedKey(target.slice(start, keyEnd)) === wanted) {
      const raw = target.slice(Math.min(keyEnd + 1, end), end);
      const rewritten = rewrite(raw);
      if (rewritten !== raw) {
        changed = true;
        segment = rewritten === null ? null : `${target.slice(start, keyEnd)}=${rewritten}`;
      }
    }
    // Each kept segment brings the separator before it; the first one stands behind the question mark.
    if (segment !== null) out += (out === "" ? "?" : target.charAt(start - 1)) + segment;
    start = end + 1;
  }
  return changed ? target.slice(0, mark) + out : target;
}

/** First separator from `start` on, or the first `stop` if that comes earlier, or the end. */
function endOf(target: string, start: number, stop: number): number {
  for (let at = start; at < target.length; at++) {
    const code = target.charCodeAt(at);
    if (code === stop || code === AMPERSAND || code === SEMICOLON) return at;
  }
  return target.length;
}

function decodedKey(raw: string): string {
  return percentDecode(raw.includes("+") ? raw.replaceAll("+", " ") : raw);
}
