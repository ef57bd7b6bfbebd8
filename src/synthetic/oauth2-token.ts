import { jsonAnswer, wrongMethod } from "./answer.ts";
import { Parameters } from "./form.ts";
import type { SyntheticMaker } from "./synthetic.ts";

const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";

/** Grants that a program without a browser asks for; what they bring along is not looked at, since it opens nothing. */
const GRANTS: ReadonlySet<string> = new Set([
  "client_credentials",
  "refresh_token",
  "password",
  "urn:ietf:params:oauth:grant-type:jwt-bearer",
  EXCHANGE,
]);

/** A token endpoint (RFC 6749 §5; RFC 7523, RFC 8693 §2.2.1): Google, Microsoft and most others speak it. */
export const oauth2Token: SyntheticMaker<"oauth2_token"> = (spec, ask, body) => {
  if (ask.method !== "POST") return wrongMethod("POST");
  const parameters = Parameters.ofBody(ask, body);
  const grant = parameters?.get("grant_type") ?? null;
  if (parameters === null || grant === null) return jsonAnswer(400, { error: "invalid_request" });
  if (!GRANTS.has(grant)) return jsonAnswer(400, { error: "unsupported_grant_type" });
  const scope = parameters.get("scope");
  return jsonAnswer(200, {
    access_token: spec.token,
    token_type: "Bearer",
    expires_in: spec.expiresInSeconds,
    ...(scope === null ? {} : { scope }),
    ...(grant === EXCHANGE ? { issued_token_type: "urn:ietf:params:oauth:token-type:access_token" } : {}),
  });
};
