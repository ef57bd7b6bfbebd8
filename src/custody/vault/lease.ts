import { Secret } from "../../core/secret.ts";
import type { SourceReading } from "../sources/source.ts";
import { countAt, type Json, objectAt, textAt } from "./answer.ts";
import type { TokenAnswer } from "./client.ts";
import type { VaultToken } from "./token.ts";

/** One dynamic credential that a Vault made, and who uses it. */
export class VaultLease {
  /** Empty where the engine gives none: there is nothing to renew or revoke then. */
  readonly id: string;
  readonly token: VaultToken;
  readonly reading: SourceReading;
  isRenewable: boolean;
  /** Monotonic ms from which on the server has ended it. */
  expiresAtMs: number;
  /** Further users may come. */
  isHeld = false;
  isOver = false;
  revokeFailures = 0;
  notBeforeMs = 0;
  readonly #users = new Map<symbol, number>();

  constructor(id: string, token: VaultToken, reading: SourceReading, isRenewable: boolean, expiresAtMs: number) {
    this.id = id;
    this.token = token;
    this.reading = reading;
    this.isRenewable = isRenewable;
    this.expiresAtMs = expiresAtMs;
  }

  /** The token's end is the lease's: the server revokes what a dead token has made. */
  get endsAtMs(): number {
    return Math.min(this.expiresAtMs, this.token.expiresAtMs);
  }

  /** @param untilMs monotonic ms at which this use is over in any case */
  enter(untilMs: number): symbol {
    const user = Symbol("lease");
    this.#users.set(user, untilMs);
    return user;
  }

  leave(user: symbol): void {
    this.#users.delete(user);
  }

  isUsed(nowMs: number): boolean {
    for (const [user, untilMs] of this.#users) if (nowMs >= untilMs) this.#users.delete(user);
    return this.#users.size > 0;
  }
}

/**
 * The lease in an answer.
 * @param read takes from `data` what is leased
 * @throws VaultFault
 */
export function leaseOf(answer: TokenAnswer, where: string, read: (data: Json) => SourceReading): VaultLease {
  const { json, sentAtMs, token } = answer;
  const id = textAt(json, "lease_id", where);
  const data = objectAt(json, "data", where);
  // Engines without leases (tokens of GCP) tell the life beside the credential.
  const seconds = id === "" ? countAt(data, "token_ttl", where) : countAt(json, "lease_duration", where);
  const expiresAtMs = sentAtMs + seconds * 1000;
  const { secret, username } = read(data);
  const reading = { secret, username, expiresAtMs };
  return new VaultLease(id, token, reading, json["renewable"] === true && id !== "", expiresAtMs);
}

/** A copy for one lease. */
export function readingOf(lease: VaultLease): SourceReading {
  const { username, secret } = lease.reading;
  return { username, secret: Secret.of(secret.reveal()), expiresAtMs: lease.endsAtMs };
}
