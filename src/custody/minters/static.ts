import type { CredentialEntry } from "../../core/credential.ts";
import type { LeaseRequest } from "../../core/custody.ts";
import type { Material } from "../../core/material.ts";
import { type CredentialSource, type SourceReading, SourceError } from "../sources/source.ts";
import type { Minted, Minter } from "./minter.ts";

/**
 * Material that is the root itself, for roots that can be narrowed no further. Minters that exchange a root for something
 * smaller (OAuth2, STS, installation tokens) stand beside this file.
 */
export class StaticMinter implements Minter {
  readonly timeoutMs: number;
  readonly #entry: CredentialEntry;
  readonly #source: CredentialSource;

  constructor(entry: CredentialEntry, source: CredentialSource) {
    this.#entry = entry;
    this.#source = source;
    this.timeoutMs = source.timeoutMs;
  }

  async mint(_ask: LeaseRequest, fresh: boolean): Promise<Minted> {
    const reading = await this.#source.read(fresh);
    try {
      return { material: materialOf(this.#entry, reading), expiresAtMs: reading.expiresAtMs, release: null };
    } catch (error) {
      reading.secret.zero();
      throw error;
    }
  }

  close(): void {
    this.#source.close();
  }
}

/** @throws SourceError when a user name is missing or told twice, or the root is not of that kind */
function materialOf(entry: CredentialEntry, { username, secret }: SourceReading): Material {
  switch (entry.kind) {
    case "token":
      return { kind: "token", token: secret };
    case "header":
      return { kind: "header", value: secret };
    case "userpass":
      return { kind: "userpass", username: oneName(entry, username), password: secret };
    case "aws":
    case "signing_key":
    case "client_certificate":
    case "dpop":
      throw new SourceError(`credential "${entry.name}": kind ${entry.kind} cannot be read from a source: mint it`);
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
