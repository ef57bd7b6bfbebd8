import type { OAuth2Client } from "../../core/mint.ts";
import { zeroMaterial } from "../../core/material.ts";
import { Secret } from "../../core/secret.ts";
import type { FormField, OutboundIdentity } from "../outbound.ts";
import { SourceError } from "../sources/source.ts";
import { clientCertificate } from "./client-certificate.ts";
import type { MintTools } from "./mint-tools.ts";
import { JwtKey } from "./sign-jwt.ts";

/** What a client adds to a token request. Holds secrets: it is sent at once and kept nowhere. */
export interface ClientProof {
  readonly headers: Readonly<Record<string, string>>;
  readonly fields: readonly FormField[];
  /** What the connection shows; `null`: nothing. */
  readonly identity: OutboundIdentity | null;
}

/** Life of an assertion: it is sent at once, `s`. */
const ASSERTION_S = 60;

/**
 * How a client proves itself for one token request.
 * @param secret its secret or private key; unused with `none`
 * @param url of the endpoint, which an assertion is made out to unless the client says another audience
 * @throws SourceError when the key cannot sign
 */
export function clientProof(client: OAuth2Client, secret: Secret | null, url: string, tools: MintTools): ClientProof {
  const id = ["client_id", client.id] as const;
  if (client.auth === "none" || secret === null) return { headers: {}, fields: [id], identity: null };
  switch (client.auth) {
    case "client_secret_basic": {
      // RFC 6749 §2.3.1: both are form-encoded first, so that a colon in the id ends nothing early.
      const pair = `${formEncoded(client.id)}:${formEncoded(secret.reveal())}`;
      return {
        headers: { authorization: `Basic ${Buffer.from(pair).toString("base64")}` },
        fields: [],
        identity: null,
      };
    }
    case "client_secret_post":
      return { headers: {}, fields: [id, ["client_secret", secret.reveal()]], identity: null };
    case "private_key_jwt":
      return {
        headers: {},
        fields: [
          id,
          ["client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
          ["client_assertion", assertion(client, secret, url, tools)],
        ],
        identity: null,
      };
    case "tls":
      return { headers: {}, fields: [id], identity: identityOf(secret, tools) };
  }
}

/** RFC 7523 §3. */
function assertion(client: OAuth2Client, key: Secret, url: string, { clock, randomBytes, where }: MintTools): string {
  const nowS = Math.floor(clock.wallMs() / 1000);
  const signer = JwtKey.of(key, client.algorithm, client.keyId, `${where}: the key of the client`);
  return signer.sign({
    iss: client.id,
    sub: client.id,
    aud: client.audience ?? url,
    jti: randomBytes(16).toString("base64url"),
    iat: nowS,
    exp: nowS + ASSERTION_S,
  });
}

/** RFC 8705 §2: PEM of the certificate, its intermediates and its key. @throws SourceError when it is none, or has ended */
function identityOf(secret: Secret, { name, clock, where }: MintTools): OutboundIdentity {
  const reading = { username: null, secret: Secret.of(secret.reveal()), expiresAtMs: null };
  const { material, expiresAtMs } = clientCertificate(name, reading, clock);
  if (material.kind !== "client_certificate" || (expiresAtMs ?? 0) <= clock.monotonicMs())
    throw new SourceError(`${where}: the certificate of the client has expired: put a new one in its place`);
  const identity = { chain: material.chain, key: material.key.reveal() };
  zeroMaterial(material);
  return identity;
}

/** `application/x-www-form-urlencoded` of one value. */
function formEncoded(text: string): string {
  return new URLSearchParams([["", text]]).toString().slice(1);
}
