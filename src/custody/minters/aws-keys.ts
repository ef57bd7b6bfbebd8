import { Secret } from "../../core/secret.ts";
import { SourceError, type SourceReading } from "../sources/source.ts";
import type { Minted } from "./minter.ts";

/** Names that the parts have: of AWS's own credential processes, of this config, and of secrets engines. */
const NAMES = {
  accessKeyId: ["AccessKeyId", "access_key_id", "access_key"],
  secretAccessKey: ["SecretAccessKey", "secret_access_key", "secret_key"],
  sessionToken: ["SessionToken", "session_token", "security_token"],
} as const;

/**
 * AWS keys from a root: the secret access key alone, where the entry names its `key_id`; else a JSON object with all parts.
 * @throws SourceError; its text holds nothing of the root
 */
export function awsKeys(name: string, keyId: string | null, { secret, expiresAtMs }: SourceReading): Minted {
  if (keyId !== null) return minted(keyId, secret, null, expiresAtMs);
  const parts = partsOf(secret.reveal());
  secret.zero();
  const { accessKeyId, secretAccessKey, sessionToken } = parts;
  if (accessKeyId === null || secretAccessKey === null)
    throw new SourceError(
      `credential "${name}": the source yields no AWS keys: let it yield {"access_key_id": "...", "secret_access_key": "..."}, or write "key_id:" into its entry`,
    );
  const token = sessionToken === null ? null : Secret.of(sessionToken);
  return minted(accessKeyId, Secret.of(secretAccessKey), token, expiresAtMs);
}

function minted(
  accessKeyId: string,
  secretAccessKey: Secret,
  sessionToken: Secret | null,
  expiresAtMs: number | null,
): Minted {
  return { material: { kind: "aws", accessKeyId, secretAccessKey, sessionToken }, expiresAtMs, release: null };
}

function partsOf(text: string): Record<keyof typeof NAMES, string | null> {
  const json = parsed(text);
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
  };
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null && !Array.isArray(json) ? (json as Record<string, unknown>) : {};
  } catch {
    // The error would quote the root.
    return {};
  }
}
