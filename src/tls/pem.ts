/** One `-----BEGIN label-----` block of RFC 7468 text. */
export interface PemBlock {
  readonly label: string;
  /** The block from BEGIN to END, with a line end. */
  readonly text: string;
}

const BEGIN = "-----BEGIN ";
const END = "-----END ";
const DASHES = "-----";

/**
 * Splits PEM text; what stands between blocks (comments, `openssl x509 -text` output) is left out.
 * @returns the blocks in order, or `null` when one is opened and not closed under the same label
 */
export function pemBlocks(text: string): PemBlock[] | null {
  const blocks: PemBlock[] = [];
  for (let at = text.indexOf(BEGIN); at >= 0;) {
    const labelEnd = text.indexOf(DASHES, at + BEGIN.length);
    if (labelEnd < 0) return null;
    const label = text.slice(at + BEGIN.length, labelEnd);
    const closing = `${END}${label}${DASHES}`;
    const close = text.indexOf(closing, labelEnd);
    const following = text.indexOf(BEGIN, labelEnd);
    if (close < 0 || (following >= 0 && following < close)) return null;
    blocks.push({ label, text: `${text.slice(at, close + closing.length)}\n` });
    at = following;
  }
  return blocks;
}

/** DER -> PEM with lines of 64 characters (RFC 7468 §2), ended by a line end. */
export function toPem(label: string, der: Buffer): string {
  const base64 = der.toString("base64");
  let text = `${BEGIN}${label}${DASHES}\n`;
  for (let at = 0; at < base64.length; at += 64) text += `${base64.slice(at, at + 64)}\n`;
  return `${text}${END}${label}${DASHES}\n`;
}
