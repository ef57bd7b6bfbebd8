import type { CredentialEntry, CredentialKind } from "../../core/credential.ts";

/** Kinds whose secret is a text that goes on the wire as it is. What signs or proves something never does. */
const TEXT_KINDS: ReadonlySet<CredentialKind> = new Set<CredentialKind>(["token", "userpass", "header"]);

/** Whether the secret may stand in a field or a parameter. What does not is told to `needs`. */
export function isText({ kind }: CredentialEntry, needs: (text: string) => void): boolean {
  if (TEXT_KINDS.has(kind)) return true;
  needs("needs a secret that may travel: write another `as:`");
  return false;
}

/** The same where a user name has no place. */
export function onlyOneText(entry: CredentialEntry, needs: (text: string) => void): void {
  if (isText(entry, needs) && entry.kind === "userpass") needs("needs a token: write another `as:` or `kind: token`");
}
