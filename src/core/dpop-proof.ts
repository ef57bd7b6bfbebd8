import { jsonObject } from "./json-text.ts";
import type { Authority } from "./authority.ts";

/**
 * DPoP proofs (RFC 9449 §4.2) up to their signature: the edge makes them, and custody reads what it is asked to sign by making it
 * again. One order of members and no other, so that there is one text for one meaning.
 */

/** Public part of a key that proofs are made with (RFC 7518 §6.2, RFC 8037 §2): the members of its kind and no other. */
export type ProofKey =
  | { readonly kty: "EC"; readonly crv: "P-256"; readonly x: string; readonly y: string }
  | { readonly kty: "OKP"; readonly crv: "Ed25519"; readonly x: string };

export interface ProofClaims {
  /** Another one for each proof. */
  readonly jti: string;
  readonly htm: string;
  readonly htu: string;
  /** Seconds since the epoch. */
  readonly iat: number;
  /** Base64url of the SHA-256 of the access token; `null` at a token endpoint, where there is none yet. */
  readonly ath: string | null;
  /** What the server asked for, or `null`. */
  readonly nonce: string | null;
}

/** 32 bytes in base64url. */
const COORDINATE = /^[A-Za-z0-9_-]{43}$/;
/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9449 §8.1: NQCHAR. */
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]{1,512}$/;
const JTI = /^[A-Za-z0-9_-]{1,128}$/;
const HTU = /^https?:\/\/[0-9a-z._:[\]-]+(?:\/[\x21\x24-\x3e\x40-\x7e"]*)?$/;
/** The signature of both kinds of key: 64 bytes in base64url. */
const SIGNATURE = /^[A-Za-z0-9_-]{86}$/;

/** @returns the key of a JWK, or `null` when it is of another kind or says more than a public key does */
export function proofKeyOf(jwk: unknown): ProofKey | null {
  if (typeof jwk !== "object" || jwk === null) return null;
  const { kty, crv, x, y, ...more } = jwk as Readonly<Record<string, unknown>>;
  if (Object.keys(more).length > 0 || typeof x !== "string" || !COORDINATE.test(x)) return null;
  if (kty === "OKP" && crv === "Ed25519" && y === undefined) return { kty, crv, x };
  if (kty === "EC" && crv === "P-256" && typeof y === "string" && COORDINATE.test(y)) return { kty, crv, x, y };
  return null;
}

/** The members that RFC 7638 §3.2 takes, in its order: what a thumbprint is the SHA-256 of, and how a key is written everywhere. */
export function jwkText(key: ProofKey): string {
  const { kty, crv, x } = key;
  return JSON.stringify(key.kty === "EC" ? { crv, kty, x, y: key.y } : { crv, kty, x });
}

export function algorithmOf({ kty }: ProofKey): "ES256" | "EdDSA" {
  return kty === "EC" ? "ES256" : "EdDSA";
}

/** The JWS signing input (RFC 7515 §5.1). */
export function proofInput(key: ProofKey, { jti, htm, htu, iat, ath, nonce }: ProofClaims): string {
  const header = `{"typ":"dpop+jwt","alg":"${algorithmOf(key)}","jwk":${jwkText(key)}}`;
  const claims = {
    jti,
    htm,
    htu,
    iat,
    ...(ath === null ? {} : { ath }),
    ...(nonce === null ? {} : { nonce }),
  };
  return `${base64url(header)}.${base64url(JSON.stringify(claims))}`;
}

/** @returns what a signing input says, or `null` unless it is to the byte what `proofInput` makes of that */
export function readProofInput(input: string): { readonly key: ProofKey; readonly claims: ProofClaims } | null {
  const [first = "", second = "", ...more] = input.split(".");
  if (more.length > 0) return null;
  const key = proofKeyOf(parsed(first)?.["jwk"]);
  const said = parsed(second);
  if (key === null || said === null) return null;
  const { jti, htm, htu, iat, ath = null, nonce = null } = said;
  const fits =
    isText(jti, JTI) &&
    isText(htm, TOKEN) &&
    isText(htu, HTU) &&
    typeof iat === "number" &&
    Number.isSafeInteger(iat) &&
    (ath === null || isText(ath, COORDINATE)) &&
    (nonce === null || isText(nonce, NONCE));
  if (!fits) return null;
  const claims: ProofClaims = { jti, htm, htu, iat, ath, nonce };
  return proofInput(key, claims) === input ? { key, claims } : null;
}

/**
 * The target URI without query and fragment (RFC 9449 §4.2), the port left out where it is the scheme's own.
 * @param target origin-form, or `*`, as it is sent; what is not ASCII in it is percent-encoded (RFC 3986 §2.1)
 */
export function htuOf(scheme: "http" | "https", authority: Authority, target: string): string {
  const path = /^[^?#]*/.exec(target)?.[0] ?? "";
  const encoded = path.replaceAll(
    /[\u0080-\u00ff]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
  return `${scheme}://${authority.hostField(scheme)}${encoded === "*" ? "" : encoded}`;
}

/** Whether a `DPoP-Nonce` can be put into a proof as it is. */
export function isNonce(text: string): boolean {
  return NONCE.test(text);
}

export function isSignature(text: string): boolean {
  return SIGNATURE.test(text);
}

function base64url(text: string): string {
  return Buffer.from(text).toString("base64url");
}

function parsed(part: string): Readonly<Record<string, unknown>> | null {
  return jsonObject(Buffer.from(part, "base64url").toString("utf8"));
}

function isText(value: unknown, pattern: RegExp): value is string {
  return typeof value === "string" && pattern.test(value);
}
