import { Secret } from "../../core/secret.ts";
import { VaultFault } from "./fault.ts";

/** A JSON object of which nothing is known yet. */
export type Json = Readonly<Record<string, unknown>>;

/** `auth` of an answer to a login or a renewal. */
export interface VaultAuth {
  readonly token: Secret;
  /** Names the token in audits of the server; it opens nothing by itself. */
  readonly accessor: string;
  readonly policies: readonly string[];
  /** Life from the answer on, `s`; 0 = without end. */
  readonly ttlSeconds: number;
  readonly isRenewable: boolean;
  readonly isBatch: boolean;
  /** How often it may be used; 0 = without bound. */
  readonly uses: number;
}

/** Longest token that is taken, characters: batch tokens are long. */
const MOST_TOKEN_CHARS = 16_384;

/**
 * @param where names the server in errors
 * @throws VaultFault when the answer is not of that shape
 */
export function authOf(json: Json, where: string): VaultAuth {
  const auth = objectAt(json, "auth", where);
  const token = auth["client_token"];
  const wantsMore = auth["mfa_requirement"] !== null && auth["mfa_requirement"] !== undefined;
  if (wantsMore)
    throw new VaultFault(
      "login_refused",
      `${where} asks for a second factor, which nobody is here to give: exempt custody's role from it`,
    );
  if (typeof token !== "string" || !/^[!-~]+$/.test(token) || token.length > MOST_TOKEN_CHARS)
    throw wrong(where, "auth.client_token");
  return {
    token: Secret.of(token),
    accessor: textOr(auth, "accessor", ""),
    policies: textsAt(auth, "policies", where),
    ttlSeconds: countAt(auth, "lease_duration", where),
    isRenewable: auth["renewable"] === true,
    isBatch: auth["token_type"] === "batch",
    uses: auth["num_uses"] === undefined ? 0 : countAt(auth, "num_uses", where),
  };
}

/** `data` of `auth/token/lookup-self` as if it were the answer to a login. */
export function authOfLookup(json: Json, token: Secret, where: string): VaultAuth {
  const data = objectAt(json, "data", where);
  const ttlSeconds = countAt(data, "ttl", where);
  // Of a token without end `expire_time` is null; with one it ends within this second.
  if (ttlSeconds === 0 && typeof data["expire_time"] === "string")
    throw new VaultFault("login_refused", `${where}: the token that custody was given has expired: give it a live one`);
  return {
    token,
    accessor: textOr(data, "accessor", ""),
    policies: textsAt(data, "policies", where),
    ttlSeconds,
    isRenewable: data["renewable"] === true,
    isBatch: data["type"] === "batch",
    uses: countAt(data, "num_uses", where),
  };
}

/** @throws VaultFault when there is no object of that name */
export function objectAt(json: Json, name: string, where: string): Json {
  const value = json[name];
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(where, name);
  return value as Json;
}

/** A whole number of at least 0. */
export function countAt(json: Json, name: string, where: string): number {
  const value = json[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw wrong(where, name);
  return value;
}

export function textAt(json: Json, name: string, where: string): string {
  const value = json[name];
  if (typeof value !== "string") throw wrong(where, name);
  return value;
}

/** Whether one of the texts of `errors` or `warnings` says this: only where the status alone leaves it open. */
export function says(json: Json, name: "errors" | "warnings", what: RegExp): boolean {
  const texts = json[name];
  return Array.isArray(texts) && texts.some((text) => typeof text === "string" && what.test(text));
}

function textsAt(json: Json, name: string, where: string): readonly string[] {
  const value = json[name] ?? [];
  if (!Array.isArray(value) || !value.every((text): text is string => typeof text === "string"))
    throw wrong(where, name);
  return value;
}

function textOr(json: Json, name: string, other: string): string {
  const value = json[name];
  return typeof value === "string" ? value : other;
}

function wrong(where: string, at: string): VaultFault {
  return new VaultFault(
    "unreadable",
    `${where} gave an answer that does not follow its API at "${at}": check that the address is that of a Vault`,
  );
}
