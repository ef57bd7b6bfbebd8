import { createHash } from "node:crypto";
import type { AzureMint } from "../../core/mint-cloud.ts";
import { zeroMaterial } from "../../core/material.ts";
import type { FormField } from "../outbound.ts";
import type { SourceReading } from "../sources/source.ts";
import { clientCertificate } from "./client-certificate.ts";
import type { MintTools } from "./mint-tools.ts";
import { type JwtPart, JwtKey } from "./sign-jwt.ts";

/** Life of an assertion: it is sent at once, `s`. */
const ASSERTION_S = 300;
const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/**
 * How an application proves itself to Entra. Holds secrets: it is sent at once and kept nowhere.
 * @param reading belongs to this function
 * @throws SourceError when the root is no certificate with its key
 */
export function azureProof(
  { proof, clientId, endpoint }: AzureMint,
  reading: SourceReading,
  entryName: string,
  tools: MintTools,
): readonly FormField[] {
  try {
    switch (proof) {
      case "client_secret":
        return [["client_secret", reading.secret.reveal()]];
      case "federated_token":
        return assertionFields(reading.secret.reveal());
      case "certificate":
        return assertionFields(signed(clientId, endpoint.url, reading, entryName, tools));
    }
  } finally {
    reading.secret.zero();
  }
}

function assertionFields(assertion: string): readonly FormField[] {
  return [
    ["client_assertion_type", ASSERTION_TYPE],
    ["client_assertion", assertion],
  ];
}

/** Signed by the key of a certificate that the application knows, which the header names by its hash (RFC 7515 §4.1.8). */
function signed(
  clientId: string,
  url: string,
  reading: SourceReading,
  entryName: string,
  { clock, randomBytes, where }: MintTools,
): string {
  const { material } = clientCertificate(entryName, reading, clock);
  try {
    if (material.kind !== "client_certificate") throw new TypeError("a certificate is of its own kind");
    const header: JwtPart = { "x5t#S256": thumbprint(material.chain) };
    const nowS = Math.floor(clock.wallMs() / 1000);
    const key = JwtKey.of(material.key, "PS256", null, `${where}: the source`);
    const claims = {
      iss: clientId,
      sub: clientId,
      aud: url,
      jti: randomBytes(16).toString("base64url"),
      nbf: nowS,
      iat: nowS,
      exp: nowS + ASSERTION_S,
    };
    return key.sign(claims, "JWT", header);
  } finally {
    zeroMaterial(material);
  }
}

/** SHA-256 of the leaf's DER. @param chain PEM, leaf first */
function thumbprint(chain: string): string {
  const base64 = /-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/.exec(chain)?.[1] ?? "";
  return createHash("sha256").update(Buffer.from(base64, "base64")).digest("base64url");
}
