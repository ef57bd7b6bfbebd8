import type { Clock } from "../../core/clock.ts";
import type { CredentialEntry } from "../../core/credential.ts";
import type { LeaseRequest } from "../../core/custody.ts";
import type { Material } from "../../core/material.ts";
import { dpopToken } from "./dpop-token.ts";
import { type CredentialSource, type SourceReading, SourceError } from "../sources/source.ts";
import { awsKeys } from "./aws-keys.ts";
import { clientCertificate } from "./client-certificate.ts";
import type { Minted, Minter } from "./minter.ts";

/**
 * Material that is the root itself, for roots that can be narrowed no further. Minters that exchange a root for something
 * smaller (OAuth2, STS, installation tokens) stand beside this file.
 */
export class StaticMinter implements Minter {
  readonly timeoutMs: number;
  readonly #entry: CredentialEntry;
  readonly #source: CredentialSource;

  readonly #clock: Clock;

  constructor(entry: CredentialEntry, source: CredentialSource, clock: Clock) {
    this.#entry = entry;
    this.#source = source;
    this.#clock = clock;
    this.timeoutMs = source.timeoutMs;
  }

  async mint(_ask: LeaseRequest, fresh: boolean): Promise<Minted> {
    const reading = await this.#source.read(fresh);
    try {
      return mintedOf(this.#entry, reading, this.#clock);
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
function mintedOf(entry: CredentialEntry, reading: SourceReading, clock: Clock): Minted {
  const { username, secret } = reading;
  const whole = (material: Material): Minted => ({ material, expiresAtMs: reading.expiresAtMs, release: null });
  switch (entry.kind) {
    case "token":
      return whole({ kind: "token", token: secret });
    case "header":
      return whole({ kind: "header", value: secret });
    case "userpass":
      return whole({ kind: "userpass", username: oneName(entry, username), password: secret });
    case "signing_key":
      return whole({ kind: "signing_key", keyId: entry.keyId, key: secret });
    case "aws":
      return awsKeys(entry.name, entry.keyId, reading, clock);
    case "client_certificate":
      return clientCertificate(entry.name, reading, clock);
    case "dpop":
      return dpopToken(entry.name, reading, clock);
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
