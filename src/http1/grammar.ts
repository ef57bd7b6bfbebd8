/**
 * The strict HTTP/1.1 codec: pure functions over bytes, no sockets. This file is the grammar: every rule that a message can
 * break, with the section that states it, and the character tables. What does not fit is refused, never repaired.
 */
export const RULES = {
  bare_lf: "RFC 9112 §2.2: lines end in CRLF",
  bare_cr: "RFC 9112 §2.2: CR stands before LF only",
  request_line: "RFC 9112 §3: method SP request-target SP HTTP-version",
  method: "RFC 9110 §9.1: method is a token",
  target: "RFC 9112 §3.2: request-target is visible ASCII",
  target_form: "RFC 9112 §3.2: origin-form, absolute-form, authority-form or asterisk-form",
  version: "RFC 9112 §2.3: HTTP/1.0 or HTTP/1.1, spelled exactly",
  status_line: "RFC 9112 §4: HTTP-version SP status-code SP [reason-phrase]",
  field_name: "RFC 9110 §5.1: field-name is a token with no blank before the colon",
  field_value: "RFC 9110 §5.5: field-value holds no control character",
  obs_fold: "RFC 9112 §5.2: obs-fold is not accepted",
  host_missing: "RFC 9112 §3.2: an HTTP/1.1 request carries one Host",
  host_repeated: "RFC 9112 §3.2: a request carries no second Host",
  content_length: "RFC 9112 §6.3: Content-Length is one decimal number, once",
  transfer_coding: "RFC 9112 §6.1: the only transfer coding is chunked, once, on HTTP/1.1",
  length_and_coding: "RFC 9112 §6.3: never both Content-Length and Transfer-Encoding",
  connection_option: "RFC 9110 §7.6.1: connection options are tokens and never name framing, routing or Expect fields",
  upgrade: "RFC 9110 §7.8: Upgrade needs HTTP/1.1 and the upgrade connection option",
  expectation: "RFC 9110 §10.1.1: the only expectation is 100-continue",
  interim_count: "RFC 9110 §15.2: interim answers are bounded in number",
  chunk_size: "RFC 9112 §7.1: chunk-size is hexadecimal and within 2^53",
  chunk_extension: "RFC 9112 §7.1.1: chunk extensions are bounded",
  chunk_data: "RFC 9112 §7.1: chunk-data ends in CRLF",
  head_bytes: "RFC 9110 §5.4: heads are bounded in bytes",
  head_fields: "RFC 9110 §5.4: heads are bounded in fields",
  trailer_bytes: "RFC 9110 §5.4: trailers are bounded",
} as const;

export type Rule = keyof typeof RULES;

const LIMITS: ReadonlySet<Rule> = new Set(["head_bytes", "head_fields", "trailer_bytes", "chunk_extension"]);

/** A message broke a rule. Carries the rule's name, never bytes of the message. */
export class Http1Error extends Error {
  override readonly name = "Http1Error";
  readonly rule: Rule;

  constructor(rule: Rule) {
    super(`${rule}: ${RULES[rule]}`);
    this.rule = rule;
  }

  /** The message was too large rather than wrong. */
  get isLimit(): boolean {
    return LIMITS.has(this.rule);
  }
}

const table = (accepts: (code: number) => boolean): Uint8Array =>
  Uint8Array.from({ length: 256 }, (_, code) => (accepts(code) ? 1 : 0));

/** RFC 9110 §5.6.2 tchar. */
export const TOKEN = table((code) => /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(code)));

/** RFC 9110 §5.5: field-vchar (VCHAR and obs-text), SP and HTAB. */
export const FIELD_VALUE = table((code) => code === 9 || (code >= 0x20 && code !== 0x7f));

/** Visible ASCII: what a request-target is made of. */
export const VISIBLE = table((code) => code > 0x20 && code < 0x7f);

/** Value of a hexadecimal digit, or 255. */
export const HEX = Uint8Array.from({ length: 256 }, (_, code) => {
  const digit = Number.parseInt(String.fromCharCode(code), 16);
  return Number.isNaN(digit) ? 255 : digit;
});

/** Whether `text` is one RFC 9110 §5.6.2 token. */
export function isToken(text: string): boolean {
  if (text.length === 0) return false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255 || TOKEN[code] === 0) return false;
  }
  return true;
}
