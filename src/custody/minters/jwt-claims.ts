import type { LeaseSession } from "../../core/custody.ts";
import { CLAIM_PLACE, type ClaimName, type ClaimTemplate, type JwtTemplate } from "../../core/mint.ts";
import type { MintTools } from "./mint-tools.ts";
import type { JwtPart } from "./sign-jwt.ts";

/**
 * What a template says for one session, from now on (RFC 7519 §4.1).
 * @param audiences those of the template, or what they are narrowed to; one is written as a text, several as a list
 */
export function jwtClaims(
  { issuer, claims, ttlSeconds }: JwtTemplate,
  audiences: readonly string[],
  session: LeaseSession,
  { clock, randomBytes }: MintTools,
): JwtPart {
  const nowS = Math.floor(clock.wallMs() / 1000);
  const [audience = "", ...more] = audiences;
  return {
    ...Object.fromEntries(Object.entries(claims).map(([name, value]) => [name, filledIn(value, session)])),
    ...(issuer === null ? {} : { iss: issuer }),
    aud: more.length === 0 ? audience : audiences,
    iat: nowS,
    exp: nowS + ttlSeconds,
    jti: randomBytes(16).toString("base64url"),
  };
}

function filledIn(value: ClaimTemplate, session: LeaseSession): ClaimTemplate {
  if (typeof value === "string") return claimText(value, session);
  if (typeof value === "number" || typeof value === "boolean") return value;
  return value.map((text) => claimText(text, session));
}

/** In one pass: what a session says of itself is text, whatever it looks like. */
export function claimText(template: string, { id, tenant, workspace, subject }: LeaseSession): string {
  const words: Record<ClaimName, string> = { session: id, tenant, workspace, subject };
  return template.replaceAll(CLAIM_PLACE, (place, name: string) =>
    Object.hasOwn(words, name) ? words[name as ClaimName] : place,
  );
}
