import type { Clock } from "../../core/clock.ts";
import type { CredentialKind } from "../../core/credential.ts";
import { Secret } from "../../core/secret.ts";
import type { SecretStore } from "../store/secret-store.ts";
import type { VaultServers } from "../vault/servers.ts";

/** Where custody reads the root of a credential. One contract test holds every source to this. */
export interface CredentialSource {
  /** Canonical reference `provider://<path>`. It may tell how a house is built, so it leaves custody as an HMAC only. */
  readonly reference: string;
  /** Longest time that one read may take, `ms`. */
  readonly timeoutMs: number;
  /**
   * Reads the root as it is now; what has gone is never answered from memory.
   * @param fresh the upstream refused what was read last: a result that is held must not be used again
   * @throws SourceError when there is none, or none that may be used
   */
  read(fresh: boolean): Promise<SourceReading>;
  /** Zeroes what is held and ends what runs. */
  close(): void;
}

export interface SourceReading {
  /** The user name when the source tells one. */
  readonly username: string | null;
  /** Token, password or header value. Belongs to the reader, who zeroes it. */
  readonly secret: Secret;
  /** Monotonic ms from which on the root is dead, or `null` when the source tells none. */
  readonly expiresAtMs: number | null;
}

/** How a root is told where it has more than one part: a root of any other kind of credential is one text, as a token is. */
export type RootShape = "token" | "userpass" | "header";

export function rootShapeOf(kind: CredentialKind): RootShape {
  return kind === "userpass" || kind === "header" ? kind : "token";
}

/** Each reader zeroes what it got: those who share one reading get a copy each. */
export function copyOf(reading: SourceReading): SourceReading {
  return { ...reading, secret: Secret.of(reading.secret.reveal()) };
}

/** What a source needs from outside. */
export interface SourceContext {
  readonly clock: Clock;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** User id of this process, or `null` where the system has none. */
  readonly uid: number | null;
  /** Unguessable bytes; left out: the system's. */
  readonly randomBytes?: (size: number) => Buffer;
  /** Tells operators of something that works but should not stay so. Never secret. */
  readonly warn: (text: string) => void;
  /** The encrypted store of this custody, where it has one. */
  readonly store?: SecretStore | null;
  /** The Vaults of this process; left out where no entry reads from one. */
  readonly vaults?: VaultServers;
}

/** Why a source gives nothing. The text is for operators, ends in a next step and never holds what was read. */
export class SourceError extends Error {
  override readonly name = "SourceError";
}

/** No root is larger than this, `bytes`. */
export const MAX_ROOT_BYTES = 64 * 1024;
