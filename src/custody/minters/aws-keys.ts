import { jsonObject } from "../../core/json-text.ts";
import type { Clock } from "../../core/clock.ts";
import { Secret } from "../../core/secret.ts";
import { SourceError, type SourceReading } from "../sources/source.ts";
import type { Minted } from "./minter.ts";
import { endOnMonotonic, sooner } from "../latest-wall.ts";

/** Names that the parts have: of AWS's own credential processes, of this config, and of secrets engines. */
const NAMES = {
  accessKeyId: ["AccessKeyId", "access_key_id", "access_key"],
  secretAccessKey: ["SecretAccessKey", "secret_access_key", "secret_key"],
  sessionToken: ["SessionToken", "session_token", "security_token"],
  expiration: ["Expiration", "expiration"],
} as const;

/**
 * AWS keys from a root: the secret access key alone, where the entry names its `key_id`; else a JSON object with all parts. Keys
 * that say when they end are good until then.
 * @throws SourceError; its text holds nothing of the root
 */
export function awsKeys(
  name: string,
  keyId: string | null,
  { secret, expiresAtMs }: SourceReading,
  clock: Clock,
): Minted {
  if (keyId !== null) return minted(keyId, secret, null, expiresAtMs);
  const parts = partsOf(secret.reveal());
  secret.zero();
  const { accessKeyId, secretAccessKey, sessionToken } = parts;
  if (accessKeyId === null || secretAccessKey === null)
    throw new SourceError(
      `credential "${name}": the source yields no AWS keys: let it yield {"access_key_id": "...", "secret_access_key": "..."}, or write "key_id:" into its entry`,
    );
  const endMs = endOf(name, parts.expiration, clock);
  const token = sessionToken === null ? null : Secret.of(sessionToken);
  return minted(accessKeyId, Secret.of(secretAccessKey), token, sooner(endMs, expiresAtMs));
}

/** @returns monotonic ms, or `null` when the keys do not say */
function endOf(name: string, expiration: string | null, clock: Clock): number | null {
  if (expiration === null) return null;
  const endMs = ISO_TIME.test(expiration) ? Date.parse(expiration) : Number.NaN;
  if (Number.isNaN(endMs))
    throw new SourceError(
      `credential "${name}": the AWS keys end at no time: let "Expiration" be such as "2030-01-01T00:00:00Z"`,
    );
  return endOnMonotonic(clock, endMs);
}

/** RFC 3339, zone included: a time without one would mean another moment on another machine. */
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

function minted(
  accessKeyId: string,
  secretAccessKey: Secret,
  sessionToken: Secret | null,
  expiresAtMs: number | null,
): Minted {
  return { material: { kind: "aws", accessKeyId, secretAccessKey, sessionToken }, expiresAtMs, release: null };
}

function partsOf(text: string): Record<keyof typeof NAMES, string | null> {
  const json = jsonObject(text) ?? {};
  const one = (part: keyof typeof NAMES): string | null => {
    for (const name of NAMES[part]) {
      const value = json[name];
      if (typeof value === "string" && value !== "") return value;
    }
    return null;
  };
  return {
    accessKeyId: one("accessKeyId"),
    secretAccessKey: one("secretAccessKey"),
    sessionToken: one("sessionToken"),
    expiration: one("expiration"),
  };
}
