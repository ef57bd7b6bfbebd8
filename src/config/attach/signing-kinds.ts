import { z } from "zod";
import type { CredentialEntry } from "../../core/credential.ts";
import { boundedText, whole } from "../primitives.ts";

/** What the attachments that sign have in common. */

/** Whether the credential is a key that signs. What does not fit is told to `needs`. */
export function onlySigningKey(entry: CredentialEntry, namesKey: boolean, needs: (text: string) => void): void {
  if (entry.kind !== "signing_key") needs("needs `kind: signing_key`: write another `as:`");
  else if (namesKey && entry.keyId === null) needs("names the key: write `key_id:` into the credential");
}

export const keyEncoding = z
  .enum(["text", "hex", "base64"])
  .describe("How the text of a shared key becomes its bytes; `text` is the text itself.");

export const keyPrefix = boundedText(64)
  .regex(/^[!-~]+$/, "write printable ASCII characters without blanks")
  .describe("Beginning of the key's text that is no part of the key, such as `whsec_`.");

export const bodyBytes = whole(
  1024,
  16_777_216,
  1_048_576,
  "How much of a body is held whole for it, bytes; a longer one is refused with `body_too_large`.",
);
