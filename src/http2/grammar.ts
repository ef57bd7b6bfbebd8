/**
 * What HTTP/2 adds to the grammar of a head (RFC 9113 §8): frames and HPACK are `node:http2`'s, the meaning of field lines is
 * read here, by the same character tables as HTTP/1.1, since a line that passes goes on to HTTP/1.1 as it is. `node:http2`
 * resets most of what breaks these rules before anybody sees it, and leaves fields with forbidden characters out of a head
 * without a word: nothing here relies on either.
 */
export const HTTP2_RULES = {
  pseudo_field: "RFC 9113 §8.3: pseudo-header fields come first, once each, and are the known ones",
  field_name: "RFC 9113 §8.2.1: a field name is a token in lower case",
  field_value: "RFC 9113 §8.2.1: a field value holds no control character and no blank at either end",
  connection_field: "RFC 9113 §8.2.2: connection-specific fields do not exist in HTTP/2",
  method: "RFC 9110 §9.1: method is a token",
  path: "RFC 9113 §8.3.1: :path is origin-form, or * for OPTIONS",
  scheme: "RFC 9113 §8.3.1: :scheme is there and is that of the connection",
  authority: "RFC 9113 §8.3.1: :authority, or Host where it is missing, names one authority",
  length: "RFC 9113 §8.1.1: content-length is one decimal number that the content fulfils",
  status: "RFC 9113 §8.3.2: :status is three digits",
  connect: "RFC 9113 §8.5, RFC 8441 §4: CONNECT has :authority alone, or :protocol, :scheme and :path",
  head_fields: "RFC 9110 §5.4: heads are bounded in fields",
  head_bytes: "RFC 9113 §6.5.2: heads are bounded in bytes, 32 more a field",
} as const;

export type Http2Rule = keyof typeof HTTP2_RULES;

/** A head broke a rule. Carries the rule's name, never bytes of the head. */
export class Http2Error extends Error {
  override readonly name = "Http2Error";
  readonly rule: Http2Rule;

  constructor(rule: Http2Rule) {
    super(`${rule}: ${HTTP2_RULES[rule]}`);
    this.rule = rule;
  }

  /** The head was too large rather than wrong. */
  get isLimit(): boolean {
    return this.rule === "head_fields" || this.rule === "head_bytes";
  }
}
