import { Secret } from "../../core/secret.ts";
import { MAX_ROOT_BYTES, SourceError } from "./source.ts";

/**
 * The text of what was read.
 * @throws SourceError where it is none: a byte that is not UTF-8 would come out as another one, and the credential with it
 */
export function textOf(bytes: Buffer, where: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new SourceError(`${where} is not UTF-8: write a key of plain bytes as base64`);
  }
}

/**
 * The root in a text: one trailing line end is what editors and `echo` add, and never part of a credential.
 * @param where names the place in errors, e.g. `file "/run/secrets/x"`
 * @throws SourceError when nothing is left, or too much
 */
export function rootOf(text: string, where: string): Secret {
  const root = text.replace(/\r?\n$/, "");
  if (root === "") throw new SourceError(`${where} is empty: put the credential into it`);
  if (Buffer.byteLength(root) > MAX_ROOT_BYTES)
    throw new SourceError(`${where} is larger than ${MAX_ROOT_BYTES} bytes: is it the right one?`);
  return Secret.of(root);
}
