import { Secret } from "../../core/secret.ts";
import type { IssuerAnswer } from "../outbound.ts";
import { MintFailure } from "./mint-failure.ts";

/** What Google's APIs call their refusals, each with what an operator does about it, and whether every lease would hear it. */
const ERRORS: Readonly<Record<string, { readonly advice: string; readonly isWide: boolean }>> = {
  PERMISSION_DENIED: {
    advice: "give the root's account roles/iam.serviceAccountTokenCreator on impersonate.account and each delegate",
    isWide: true,
  },
  NOT_FOUND: { advice: "check impersonate.account and its delegates", isWide: true },
  INVALID_ARGUMENT: { advice: "check scopes and impersonate.lifetime_seconds", isWide: false },
  UNAUTHENTICATED: { advice: "look at the account of the root", isWide: true },
  FAILED_PRECONDITION: { advice: "look at impersonate.account: it may be disabled", isWide: true },
};

/**
 * Answer of `generateAccessToken`.
 * @throws MintFailure; nothing that Google wrote is quoted but the names of its errors that are known here
 */
export function impersonatedToken(
  answer: IssuerAnswer,
  where: string,
): { readonly token: Secret; readonly expiresWallMs: number } {
  if (answer.status !== 200) throw refusalOf(answer, where);
  const unusable = (what: string): MintFailure => new MintFailure(`${where} ${what}: check its URL`, { isWide: true });
  if (answer.json === null) throw unusable("answers with something that is no JSON object");
  const { accessToken, expireTime } = answer.json;
  if (typeof accessToken !== "string" || accessToken === "") throw unusable("answers without an accessToken");
  const expiresWallMs = typeof expireTime === "string" && expireTime.length <= 40 ? Date.parse(expireTime) : Number.NaN;
  if (Number.isNaN(expiresWallMs)) throw unusable("answers without an expireTime that could be read");
  return { token: Secret.of(accessToken), expiresWallMs };
}

function refusalOf({ status, json, retryAfterMs }: IssuerAnswer, where: string): MintFailure {
  const error = json?.["error"];
  const name = typeof error === "object" && error !== null && "status" in error ? error.status : null;
  if (status === 429 || name === "RESOURCE_EXHAUSTED")
    return new MintFailure(`${where} is asked too often (${status}): ask less, or have its quota raised`, {
      retryAfterMs,
      isWide: true,
    });
  const known = typeof name === "string" && Object.hasOwn(ERRORS, name) ? ERRORS[name] : undefined;
  if (status < 500 && known !== undefined && typeof name === "string")
    return new MintFailure(`${where} refuses (${name}): ${known.advice}`, { retryAfterMs, isWide: known.isWide });
  return new MintFailure(`${where} answers with status ${status}: look at Google's own status, or check its URL`, {
    retryAfterMs,
    isWide: true,
  });
}
