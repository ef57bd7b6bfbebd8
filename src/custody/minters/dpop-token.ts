import { jsonObject } from "../../core/json-text.ts";
import type { Clock } from "../../core/clock.ts";
import { Secret } from "../../core/secret.ts";
import { SourceError, type SourceReading } from "../sources/source.ts";
import { DpopKey } from "./dpop-key.ts";
import type { Minted } from "./minter.ts";
import { endOnMonotonic, sooner } from "../latest-wall.ts";

const SHAPE = 'let it yield {"token": "...", "private_jwk": {...}}, or {"token": "...", "private_key": "<PEM>"}';

/**
 * A bound token and its key from a root: JSON of the token and of its private key, as JWK or PEM. A token that says what it is bound
 * to (a JWT with `cnf.jkt`, RFC 9449 §6.1) is held to it, and to its `exp`.
 * @throws SourceError; its text holds nothing of the root
 */
export function dpopToken(name: string, { secret, expiresAtMs }: SourceReading, clock: Clock): Minted {
  const { token, private_jwk: jwk, private_key: pem } = jsonObject(secret.reveal()) ?? {};
  if (typeof token !== "string" || token === "" || (jwk === undefined) === (pem === undefined))
    throw unfit(name, `yields no bound token: ${SHAPE}`);
  const key = DpopKey.read(typeof pem === "string" ? pem : JSON.stringify(jwk ?? null));
  if (key === null) throw unfit(name, "yields a key that makes no proofs: take an unencrypted one on P-256 or Ed25519");
  const { boundTo, endMs } = claimsOf(token);
  if (boundTo !== null && boundTo !== key.thumbprint)
    throw unfit(name, "yields a token that is bound to another key: take both from the same answer of its issuer");
  secret.zero();
  const endsAtMs = endMs === null ? null : endOnMonotonic(clock, endMs);
  return {
    material: { kind: "dpop", token: Secret.of(token), key: key.pem(), publicJwk: key.publicJwk },
    expiresAtMs: sooner(endsAtMs, expiresAtMs),
    release: null,
  };
}

/** What a token tells of itself, if it is a JWT. Nothing is verified: the upstream does that, this only finds mistakes early. */
function claimsOf(token: string): { readonly boundTo: string | null; readonly endMs: number | null } {
  const parts = token.split(".");
  const claims =
    (parts.length === 3 ? jsonObject(Buffer.from(parts[1] ?? "", "base64url").toString("utf8")) : null) ?? {};
  const { cnf, exp } = claims;
  const jkt = typeof cnf === "object" && cnf !== null ? (cnf as Readonly<Record<string, unknown>>)["jkt"] : null;
  return {
    boundTo: typeof jkt === "string" ? jkt : null,
    endMs: typeof exp === "number" && Number.isFinite(exp) ? exp * 1000 : null,
  };
}

function unfit(name: string, what: string): SourceError {
  return new SourceError(`credential "${name}": the source ${what}`);
}
