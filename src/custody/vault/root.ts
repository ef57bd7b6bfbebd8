import type { CredentialKind } from "../../core/credential.ts";
import { Secret } from "../../core/secret.ts";
import { MAX_ROOT_BYTES } from "../sources/source.ts";
import type { Json } from "./answer.ts";
import { VaultFault } from "./fault.ts";

/** Where the parts of a credential stand when no field is named. */
const USERNAME = "username";
const PASSWORD = "password";
/** PEM of the PKI engine and of people, in the order that a chain has. */
const CERTIFICATE = ["certificate", "ca_chain", "chain", "private_key"];

export interface Root {
  readonly username: string | null;
  readonly secret: Secret;
}

/**
 * The root in the fields of a secret.
 * @param field the one that is the secret, or `null` where the kind says it
 * @param where names server and path in errors
 * @throws VaultFault when a field is not there or no text; its text holds nothing of what was read
 */
export function rootIn(data: Json, kind: CredentialKind, field: string | null, where: string): Root {
  switch (kind) {
    case "userpass":
      return {
        username: data[USERNAME] === undefined ? null : text(data, USERNAME, where),
        secret: Secret.of(text(data, field ?? PASSWORD, where)),
      };
    case "aws":
      return { username: null, secret: Secret.of(field === null ? textsAsJson(data) : text(data, field, where)) };
    case "client_certificate":
      return { username: null, secret: Secret.of(field === null ? pem(data, where) : text(data, field, where)) };
    case "token":
    case "header":
    case "signing_key":
    case "dpop":
      return { username: null, secret: Secret.of(text(data, field ?? "token", where)) };
  }
}

function text(data: Json, field: string, where: string): string {
  const value = data[field];
  if (typeof value !== "string" || value === "") {
    const what = value === undefined ? "has no field" : "has no text in field";
    throw new VaultFault("absent", `${where} ${what} "${field}": write the credential there, or correct field`);
  }
  if (Buffer.byteLength(value) > MAX_ROOT_BYTES)
    throw new VaultFault("absent", `${where} has more than ${MAX_ROOT_BYTES} bytes in field "${field}"`);
  return value;
}

/** What `awsKeys` looks for by name. */
function textsAsJson(data: Json): string {
  return JSON.stringify(Object.fromEntries(Object.entries(data).filter(([, value]) => typeof value === "string")));
}

function pem(data: Json, where: string): string {
  const parts = CERTIFICATE.flatMap((field): unknown => data[field] ?? []);
  if (parts.length === 0 || !parts.every((part): part is string => typeof part === "string"))
    throw new VaultFault(
      "absent",
      `${where} has no certificate: write PEM into the fields certificate, chain and private_key`,
    );
  return parts.join("\n");
}
