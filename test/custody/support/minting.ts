import { generateKeyPairSync } from "node:crypto";
import type { LeaseGrant, LeaseRequest } from "../../../src/core/custody.ts";
import type { JwtTemplate, MintSpec, OAuth2Client, SigningAlgorithm } from "../../../src/core/mint.ts";
import type { Issuing } from "./issuing.ts";
import { requestOf } from "./permits.ts";
import { secretOf } from "./secret-of.ts";

/** A key pair as PEM. */
export function keyPair(algorithm: SigningAlgorithm): { readonly publicKey: string; readonly privateKey: string } {
  const encoding = {
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  } as const;
  if (algorithm === "EdDSA") return generateKeyPairSync("ed25519", encoding);
  if (algorithm === "ES256") return generateKeyPairSync("ec", { namedCurve: "P-256", ...encoding });
  return generateKeyPairSync("rsa", { modulusLength: 2048, ...encoding });
}

export function clientOf(change: Partial<OAuth2Client> = {}): OAuth2Client {
  return {
    id: "postern",
    auth: "client_secret_basic",
    secret: null,
    algorithm: "ES256",
    keyId: null,
    audience: null,
    ...change,
  };
}

export function templateOf(change: Partial<JwtTemplate> = {}): JwtTemplate {
  return {
    issuer: "custody.test",
    audiences: ["aud.test"],
    algorithm: "ES256",
    keyId: "k1",
    ttlSeconds: 300,
    claims: { sub: "{subject}", tenant: "{tenant}" },
    ...change,
  };
}

export function endpointOf(url: string, timeoutMs = 5_000): { url: string; ca: null; timeoutMs: number } {
  return { url, ca: null, timeoutMs };
}

export function clientCredentialsOf(
  url: string,
  change: Partial<Extract<MintSpec, { as: "oauth2_client_credentials" }>> = {},
): MintSpec {
  return {
    as: "oauth2_client_credentials",
    endpoint: endpointOf(url),
    client: clientOf(),
    scopes: ["read", "write"],
    audiences: [],
    resources: [],
    ...change,
  };
}

const CALLER = { name: "test", tenants: null };

export function leaseOf(
  { issuer }: Issuing,
  change: Partial<LeaseRequest> = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<LeaseGrant> {
  return issuer.issue(CALLER, requestOf(change), signal);
}

/** The token that a lease brings. */
export async function tokenOf(parts: Issuing, change: Partial<LeaseRequest> = {}): Promise<string> {
  return secretOf((await leaseOf(parts, change)).material).reveal();
}
