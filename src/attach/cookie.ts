import type { OutboundHead } from "../core/exchange.ts";
import { type AttachmentMaker, revealed, unusable } from "./attachment.ts";
import { percentDecode } from "./percent.ts";
import { textSecret } from "./text-secret.ts";

/** One cookie, behind those of the guest (RFC 6265 §4.2.1). Takes a token or a header value. */
export const cookie: AttachmentMaker<"cookie"> = (spec) => ({
  fieldNames: [],
  cut(head) {
    const { fields } = head;
    for (let i = 0; i < fields.length; i++) {
      if (fields.names[i] !== "cookie" || fields.isDropped(i)) continue;
      const value = fields.value(i);
      const kept = withoutCookie(value, spec.name);
      if (kept === value) continue;
      if (kept === "") fields.drop(i);
      else fields.replace(i, kept);
    }
  },
  render(material) {
    if (material.kind === "userpass") throw unusable("cookie takes a token, custody sent userpass");
    const secret = revealed(textSecret(material, "cookie"));
    if (!COOKIE_OCTETS.test(secret)) throw unusable("the material holds a character that no cookie value may hold");
    if (!COOKIE_NAME.test(spec.name)) throw unusable("the attachment's cookie name is not a token");
    const pair = `${spec.name}=${secret}`;
    return {
      values: [pair, secret],
      rotates: "cookie",
      apply(head) {
        join(head, pair);
        return true;
      },
    };
  },
});

/** RFC 6265 §4.1.1: no controls, blanks, quotes, commas, semicolons, backslashes. */
const COOKIE_OCTETS = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/;
const COOKIE_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** RFC 6265 §5.4: one Cookie line a request; servers differ on which of two they read. */
function join(head: OutboundHead, pair: string): void {
  const { fields } = head;
  for (let i = 0; i < fields.length; i++) {
    if (fields.names[i] !== "cookie" || fields.isDropped(i)) continue;
    const value = fields.value(i);
    let end = value.length;
    while (end > 0 && "; \t".includes(value.charAt(end - 1))) end--;
    fields.replace(i, end === 0 ? pair : `${value.slice(0, end)}; ${pair}`);
    return;
  }
  fields.append("Cookie", pair);
}

/**
 * Cuts each cookie called `name`, case exact (RFC 6265 §5.3). Servers disagree about where a cookie begins: some take
 * `,` (RFC 2109 §4.4) or a blank as a separator, some decode names, some read `;` inside quotes as a border. A cookie that
 * any of them would see is cut up to the next `;`; the rest stays byte for byte.
 */
function withoutCookie(value: string, name: string): string {
  let out = "";
  let kept = 0;
  for (let at = 0; at < value.length;) {
    const end = nameEnd(value, at);
    if (isCookie(value, at, end, name)) {
      out += value.slice(kept, separatorStart(value, at));
      const semicolon = value.indexOf(";", end);
      kept = at = semicolon < 0 ? value.length : semicolon;
    } else {
      at = end;
      while (at < value.length && !SEPARATORS.includes(value.charAt(at))) at++;
      at++;
    }
  }
  if (kept === 0) return value;
  out += value.slice(kept);
  return out.replace(/^[;, \t]+/, "");
}

const SEPARATORS = ";, \t";

/** First character that cannot belong to a name that starts at `at`. */
function nameEnd(value: string, at: number): number {
  let end = at;
  while (end < value.length && value.charAt(end) !== "=" && !SEPARATORS.includes(value.charAt(end))) end++;
  return end;
}

/** Whether `value[at, end)` is a cookie called `name`: `=` follows, or it is all that stands between two semicolons. */
function isCookie(value: string, at: number, end: number, name: string): boolean {
  if (percentDecode(value.slice(at, end)) !== name) return false;
  let next = end;
  while (" \t".includes(value.charAt(next)) && next < value.length) next++;
  if (value.charAt(next) === "=") return true;
  const start = separatorStart(value, at);
  return (next === value.length || value.charAt(next) === ";") && (start === 0 || value.charAt(start) === ";");
}

/** Where the separator before `at` begins: `; ` belongs to what follows it. */
function separatorStart(value: string, at: number): number {
  let start = at;
  while (start > 0 && " \t".includes(value.charAt(start - 1))) start--;
  return start > 0 && ";,".includes(value.charAt(start - 1)) ? start - 1 : start;
}
