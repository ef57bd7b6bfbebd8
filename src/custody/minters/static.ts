import type { CredentialEntry } from "../../core/credential.ts";
import type { Material } from "../../core/material.ts";
import { type SourceReading, SourceError } from "../sources/source.ts";

/**
 * Material that is the root itself, for roots that can be narrowed no further. Minters that exchange a root for something
 * smaller (OAuth2, STS, installation tokens) stand beside this file and take the same two arguments.
 * @throws SourceError when a user name is missing or told twice; the reading is then still the caller's to zero
 */
export function mintStatic(entry: CredentialEntry, { username, secret }: SourceReading): Material {
  switch (entry.kind) {
    case "token":
      return { kind: "token", token: secret };
    case "header":
      return { kind: "header", value: secret };
    case "userpass":
      return { kind: "userpass", username: oneName(entry, username), password: secret };
  }
}

function oneName({ name, username: fixed }: CredentialEntry, told: string | null): string {
  const username = fixed ?? told;
  if (username === null)
    throw new SourceError(`credential "${name}" has no user name: write "username:" into its entry`);
  if (told !== null && told !== username) {
    throw new SourceError(`credential "${name}": the helper names another user: remove "username:" from its entry`);
  }
  return username;
}
