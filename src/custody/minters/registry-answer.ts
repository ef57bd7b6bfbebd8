import { Secret } from "../../core/secret.ts";
import type { IssuerAnswer } from "../outbound.ts";
import { lifeOfSeconds } from "./life.ts";
import { MintFailure } from "./mint-failure.ts";

export interface RegistryToken {
  readonly token: Secret;
  readonly lifeMs: number;
  /** ms since the epoch from which on `lifeMs` is counted, or `null`: from the request on. */
  readonly issuedWallMs: number | null;
}

/** An answer without `expires_in`: the documentation says 60 seconds, `ms`. */
const UNTOLD_LIFE_MS = 60_000;

/** @throws MintFailure; nothing that the token server wrote is quoted */
export function registryToken(answer: IssuerAnswer, where: string): RegistryToken {
  const { status, json } = answer;
  if (status !== 200) throw refusalOf(answer, where);
  const unusable = (what: string): MintFailure => new MintFailure(`${where} ${what}: check its URL`, { isWide: true });
  if (json === null) throw unusable("answers with something that is no JSON object");
  const { token, access_token: accessToken, expires_in: expiresIn, issued_at: issuedAt } = json;
  // Two names of one thing; both are written for clients old and new.
  const text = token ?? accessToken;
  if (typeof text !== "string" || text === "") throw unusable("answers without a token");
  if (typeof token === "string" && typeof accessToken === "string" && token !== accessToken)
    throw unusable("answers with two tokens that differ");
  const lifeMs = expiresIn === undefined || expiresIn === null ? UNTOLD_LIFE_MS : lifeOfSeconds(expiresIn);
  if (lifeMs === null) throw unusable("answers with an expires_in that is no number of seconds");
  if (lifeMs <= 0) throw unusable("answers with a token that has expired");
  return { token: Secret.of(text), lifeMs, issuedWallMs: issuedAt === undefined ? null : wallMsOf(issuedAt) };
}

function wallMsOf(text: unknown): number | null {
  const ms = typeof text === "string" && text.length <= 40 ? Date.parse(text) : Number.NaN;
  return Number.isFinite(ms) ? ms : null;
}

function refusalOf({ status, retryAfterMs }: IssuerAnswer, where: string): MintFailure {
  const failure = (what: string, isWide = true): MintFailure =>
    new MintFailure(`${where} ${what}`, { retryAfterMs, isWide });
  switch (status) {
    case 401:
      return failure("refuses the user (401): check username and the root");
    case 403:
      return failure("denies (403): let the user have these repositories and actions", false);
    case 404:
      return failure("knows no such repository, or is no token server (404): check repositories and its URL", false);
    case 429:
      return failure("is asked too often (429): ask less, or have its limit raised");
    default:
      return failure(`answers with status ${status}: look at the registry, or check its URL`);
  }
}
