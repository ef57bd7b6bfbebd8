import { jsonObject } from "../../core/json-text.ts";
import { Secret } from "../../core/secret.ts";
import { SourceError } from "../sources/source.ts";
import { JwtKey } from "./sign-jwt.ts";

/** A service account as its key file tells it. */
export interface GcpAccount {
  readonly email: string;
  readonly key: JwtKey;
}

const EMAIL = /^[\w.+-]{1,128}@[\w.-]{1,128}$/;

/**
 * Reads the JSON of a key of a service account. Its `token_uri` is not looked at: whoever writes a root must not say where it is
 * sent.
 * @param where names it in errors, such as `credential "x": the source`
 * @throws SourceError; its text holds nothing of the root
 */
export function gcpAccount(root: Secret, where: string): GcpAccount {
  const json = jsonObject(root.reveal()) ?? {};
  const { type, client_email: email, private_key: pem, private_key_id: keyId } = json;
  if (type !== "service_account" || typeof email !== "string" || !EMAIL.test(email) || typeof pem !== "string")
    throw new SourceError(`${where} yields no key of a service account: let it yield the JSON that Google made`);
  const secret = Secret.of(pem);
  try {
    return { email, key: JwtKey.of(secret, "RS256", typeof keyId === "string" ? keyId : null, where) };
  } finally {
    secret.zero();
  }
}
