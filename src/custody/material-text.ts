import type { Material } from "../core/material.ts";

/**
 * What material may be made of, once for both who ask: the schemas of the wire, and the issuer, which checks a root before it
 * issues it. Plain patterns and no schema: an edge with its custody inside has no other use for zod (docs/decisions/0013).
 */

/** One line of visible text: no control characters, and no lone surrogates, which change on their way through UTF-8. */
export const VISIBLE_LINE = /^[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}]*$/u;

/** What may be put into a field value: visible ASCII and inner blanks (RFC 9110 §5.5 without obs-text). */
export const FIELD_TEXT = /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/;
export const MOST_FIELD_CHARS = 16_384;

/** RFC 7617 §2: no control characters, and no colon in the user name. */
export const NO_COLON = /^[^:]*$/;
export const MOST_USERNAME_CHARS = 1024;
export const MOST_PASSWORD_CHARS = 16_384;

/** Keys and certificates: printable ASCII in lines (RFC 7468), or a shared key as one of them. */
export const KEY_TEXT = /^[\x20-\x7e\n]+$/;
export const MOST_KEY_CHARS = 16_384;
export const MOST_CHAIN_CHARS = 32_768;
/** Names of keys: visible ASCII. */
export const KEY_ID = /^[\x21-\x7e]+$/;
export const MOST_KEY_ID_CHARS = 512;

/** Whether material fits its wire form, which is what can go into a field. */
export function materialFitsWire(material: Material): boolean {
  switch (material.kind) {
    case "token":
      return fits(material.token.reveal(), MOST_FIELD_CHARS, FIELD_TEXT);
    case "userpass":
      return (
        fits(material.username, MOST_USERNAME_CHARS, VISIBLE_LINE, NO_COLON) &&
        fits(material.password.reveal(), MOST_PASSWORD_CHARS, VISIBLE_LINE)
      );
    case "header":
      return fits(material.value.reveal(), MOST_FIELD_CHARS, FIELD_TEXT);
    case "aws":
      return (
        fits(material.accessKeyId, MOST_KEY_ID_CHARS, KEY_ID) &&
        fits(material.secretAccessKey.reveal(), MOST_FIELD_CHARS, FIELD_TEXT) &&
        (material.sessionToken === null || fits(material.sessionToken.reveal(), MOST_FIELD_CHARS, FIELD_TEXT))
      );
    case "signing_key":
      return (
        (material.keyId === null || fits(material.keyId, MOST_KEY_ID_CHARS, KEY_ID)) &&
        fits(material.key.reveal(), MOST_KEY_CHARS, KEY_TEXT)
      );
    case "client_certificate":
      return fits(material.chain, MOST_CHAIN_CHARS, KEY_TEXT) && fits(material.key.reveal(), MOST_KEY_CHARS, KEY_TEXT);
    case "dpop":
      return (
        fits(material.token.reveal(), MOST_FIELD_CHARS, FIELD_TEXT) &&
        fits(material.publicJwk, MOST_KEY_ID_CHARS, FIELD_TEXT) &&
        (material.key === null || fits(material.key.reveal(), MOST_KEY_CHARS, KEY_TEXT))
      );
  }
}

function fits(text: string, mostChars: number, ...patterns: readonly RegExp[]): boolean {
  return text.length > 0 && text.length <= mostChars && patterns.every((pattern) => pattern.test(text));
}
