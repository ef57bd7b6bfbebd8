import type { HashName, SignedPart, TemplatePiece } from "../../core/signing.ts";
import { fieldNameFault } from "../field-name.ts";
import { type Path, quoted } from "../problem.ts";
import type { Report } from "../report.ts";

/** Parts that stand for a piece of the request or the moment, by what is written between the braces. */
const WORDS: ReadonlySet<string> = new Set<SignedPart["of"]>([
  "method",
  "target",
  "path",
  "query",
  "authority",
  "body",
  "timestamp",
  "nonce",
  "key_id",
]);

/** What a header may say of the request: nothing that a guest could break a line with. */
const IN_HEADERS: ReadonlySet<SignedPart["of"]> = new Set<SignedPart["of"]>([
  "timestamp",
  "nonce",
  "key_id",
  "signature",
  "body_digest",
]);

/** A part of what is signed. @returns what could be understood; the rest is in the report */
export function signedTemplate(text: string, path: Path, report: Report): readonly TemplatePiece[] {
  if (!/^[\n\t -~]*$/.test(text)) report.add(path, "write printable ASCII characters and line breaks");
  return pieces(text, path, report, (part) => part.of !== "signature", "the signature cannot sign itself");
}

/** The value of a header that goes with a signature. */
export function headerTemplate(text: string, path: Path, report: Report): readonly TemplatePiece[] {
  if (!/^[!-~](?:[ -~]*[!-~])?$/.test(text))
    report.add(path, "write printable ASCII characters, no blank at either end");
  const allowed = "write {signature}, {timestamp}, {nonce}, {key_id} or {body_sha256:base64} in a header";
  return pieces(text, path, report, ({ of }) => IN_HEADERS.has(of), allowed);
}

function pieces(
  text: string,
  path: Path,
  report: Report,
  isAllowed: (part: SignedPart) => boolean,
  otherwise: string,
): readonly TemplatePiece[] {
  const found: TemplatePiece[] = [];
  let from = 0;
  for (const match of text.matchAll(/\{([A-Za-z][^{}]*)\}/g)) {
    const part = partOf(match[1] as string);
    if (typeof part === "string") report.add(path, part);
    else if (!isAllowed(part)) report.add(path, `${quoted(match[0])}: ${otherwise}`);
    else {
      if (match.index > from) found.push(text.slice(from, match.index));
      found.push(Object.freeze(part));
    }
    from = match.index + match[0].length;
  }
  if (from < text.length) found.push(text.slice(from));
  return found;
}

/** @returns the part, or what is wrong with it */
function partOf(word: string): SignedPart | string {
  if (WORDS.has(word) || word === "signature") return { of: word } as SignedPart;
  const digest = /^body_(sha1|sha256|sha384|sha512):(hex|base64)$/.exec(word);
  if (digest !== null)
    return { of: "body_digest", hash: digest[1] as HashName, encoding: digest[2] as "hex" | "base64" };
  if (word.startsWith("header:")) {
    const name = word.slice("header:".length);
    return fieldNameFault(name) ?? { of: "header", name: name.toLowerCase() };
  }
  return (
    `${quoted(`{${word}}`)}: nothing has this name: write {method}, {target}, {path}, {query}, {authority}, {header:NAME}, ` +
    "{timestamp}, {nonce}, {key_id}, {body} or {body_sha256:hex}"
  );
}
