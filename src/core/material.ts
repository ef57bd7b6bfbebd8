import type { Secret } from "./secret.ts";

/** What a credential is made of. The first three are texts that go on the wire; of the others only what they sign or prove does. */
export type Material =
  | { readonly kind: "token"; readonly token: Secret }
  | { readonly kind: "userpass"; readonly username: string; readonly password: Secret }
  | { readonly kind: "header"; readonly value: Secret }
  /** Keys for AWS Signature Version 4; `sessionToken` comes with temporary ones. */
  | {
      readonly kind: "aws";
      readonly accessKeyId: string;
      readonly secretAccessKey: Secret;
      readonly sessionToken: Secret | null;
    }
  /** A key that signs requests: PEM of a private key, or the text of a shared one. */
  | { readonly kind: "signing_key"; readonly keyId: string | null; readonly key: Secret }
  /** A TLS client certificate: PEM of the chain, leaf first, and PEM of its private key. */
  | { readonly kind: "client_certificate"; readonly chain: string; readonly key: Secret }
  /** An access token that is bound to a key (RFC 9449). `key` is PEM, or `null` where custody keeps it and signs. */
  | { readonly kind: "dpop"; readonly token: Secret; readonly key: Secret | null; readonly publicJwk: string };

/** Every secret part of a material. */
export function secretsOf(material: Material): readonly Secret[] {
  switch (material.kind) {
    case "token":
      return [material.token];
    case "userpass":
      return [material.password];
    case "header":
      return [material.value];
    case "aws":
      return material.sessionToken === null
        ? [material.secretAccessKey]
        : [material.secretAccessKey, material.sessionToken];
    case "signing_key":
    case "client_certificate":
      return [material.key];
    case "dpop":
      return material.key === null ? [material.token] : [material.token, material.key];
  }
}

/** Overwrites every secret part. */
export function zeroMaterial(material: Material): void {
  for (const secret of secretsOf(material)) secret.zero();
}

export function isZeroed(material: Material): boolean {
  return secretsOf(material).some((secret) => secret.isZeroed);
}
