import { Secret } from "../../core/secret.ts";
import type { IssuerAnswer } from "../outbound.ts";
import { lifeOfSeconds } from "./life.ts";
import { MintFailure } from "./mint-failure.ts";

/** A token as an endpoint answered it (RFC 6749 §5.1). */
export interface TokenAnswer {
  readonly accessToken: Secret;
  readonly lifeMs: number;
}

/** An answer without `expires_in`: nobody knows, so not long, `ms`. */
const UNTOLD_LIFE_MS = 300_000;

/** RFC 6749 §5.2 and its extensions, each with what an operator does about it, and whether every lease would hear it. */
const ERRORS: Readonly<Record<string, { readonly advice: string; readonly isWide: boolean }>> = {
  invalid_request: { advice: "compare mint: with what the issuer asks for", isWide: true },
  invalid_client: { advice: "check client.id, client.auth and the client's secret or key", isWide: true },
  invalid_grant: {
    advice: "the root has expired, was revoked or was used already: put a new one in its place",
    isWide: true,
  },
  unauthorized_client: { advice: "allow this grant for the client at the issuer", isWide: true },
  unsupported_grant_type: { advice: "the issuer does not know this grant: write another mint.as", isWide: true },
  invalid_scope: { advice: "check scopes: the issuer knows or grants them not", isWide: false },
  invalid_target: { advice: "check audiences and resources: the issuer knows or grants them not", isWide: false },
  access_denied: { advice: "allow it at the issuer", isWide: false },
  use_dpop_nonce: { advice: "the issuer wants bound tokens", isWide: true },
  invalid_dpop_proof: { advice: "compare the clocks of both sides", isWide: true },
  server_error: { advice: "look at the issuer", isWide: true },
  temporarily_unavailable: { advice: "look at the issuer", isWide: true },
};

export interface TokenWanted {
  /** `token_type`s that will do, lower case. */
  readonly types: readonly string[];
  /** What the scope was narrowed to, or `null` where it was not. */
  readonly scopes: readonly string[] | null;
}

/**
 * @param where names the issuer in errors
 * @throws MintFailure; nothing that the issuer wrote is quoted, its `error_description` least of all
 */
export function tokenAnswer(answer: IssuerAnswer, where: string, { types, scopes }: TokenWanted): TokenAnswer {
  const { status, json } = answer;
  if (status !== 200) throw refusalOf(answer, where);
  const unusable = (what: string): MintFailure => new MintFailure(`${where} ${what}: check its URL`, { isWide: true });
  if (json === null) throw unusable("answers with something that is no JSON object");
  const { access_token: token, token_type: type, expires_in: expiresIn, scope } = json;
  if (typeof token !== "string" || token === "") throw unusable("answers without an access_token");
  // RFC 6749 §7.1: what is of an unknown type must not be used.
  if (typeof type !== "string" || !types.includes(type.toLowerCase()))
    throw unusable(`answers with a token_type that is not ${types.join(" or ")}`);
  const lifeMs = expiresIn === undefined || expiresIn === null ? UNTOLD_LIFE_MS : lifeOfSeconds(expiresIn);
  if (lifeMs === null) throw unusable("answers with an expires_in that is no number of seconds");
  if (lifeMs <= 0) throw unusable("answers with a token that has expired");
  // RFC 6749 §5.1: what is granted is said where it differs. An issuer that does not narrow must not widen a lease in silence.
  if (
    scopes !== null &&
    typeof scope === "string" &&
    scope.split(" ").some((one) => one !== "" && !scopes.includes(one))
  )
    throw new MintFailure(`${where} grants more scope than it was asked for: take \`narrow\` out, or have it narrow`);
  return {
    accessToken: Secret.of(token),
    lifeMs,
  };
}

/**
 * The refresh token of an answer, whatever else is wrong with it: once it is there, the one before is used up.
 * @returns `null` when the one that was sent goes on
 */
export function refreshTokenIn({ status, json }: IssuerAnswer): Secret | null {
  const token = json?.["refresh_token"];
  return status === 200 && typeof token === "string" && token !== "" ? Secret.of(token) : null;
}

/** Whether an answer says that the grant itself is no good. */
export function isInvalidGrant({ status, json }: IssuerAnswer): boolean {
  return status >= 400 && status < 500 && json?.["error"] === "invalid_grant";
}

function refusalOf({ status, json, retryAfterMs }: IssuerAnswer, where: string): MintFailure {
  if (status === 429)
    return new MintFailure(`${where} is asked too often (429): ask less, or have its limit raised`, {
      retryAfterMs,
      isWide: true,
    });
  const error = json?.["error"];
  const known = typeof error === "string" && Object.hasOwn(ERRORS, error) ? ERRORS[error] : undefined;
  if (status < 500 && known !== undefined && typeof error === "string")
    return new MintFailure(`${where} refuses (${error}): ${known.advice}`, { retryAfterMs, isWide: known.isWide });
  return new MintFailure(`${where} answers with status ${status}: look at the issuer`, { retryAfterMs, isWide: true });
}
