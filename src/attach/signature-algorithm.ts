import { constants, createHmac, createPrivateKey, type KeyObject, sign, type SignKeyObjectInput } from "node:crypto";
import type { Material } from "../core/material.ts";
import type { MessageSignatureSpec, SignatureAlgorithm } from "../core/signing.ts";
import { revealed, unusable } from "./attachment.ts";
import { sharedKey } from "./shared-key.ts";

/** A key that is ready to sign with one algorithm of RFC 9421 §3.3. */
export interface SignatureKey {
  readonly id: string | null;
  /** What must never come back. */
  readonly texts: readonly string[];
  /** RSA takes a millisecond, which is spent beside the loop; the others take less than it costs to leave it. */
  readonly sign: (base: Buffer) => Buffer | Promise<Buffer>;
}

/** @throws Denial `lease_unusable` for a key that is not one of the algorithm */
export function signatureKey(material: Material, spec: MessageSignatureSpec): SignatureKey {
  if (spec.algorithm === "hmac-sha256") {
    const { key, id, texts } = sharedKey(material, spec.key, "message_signature");
    return { id, texts, sign: (base) => createHmac("sha256", key).update(base).digest() };
  }
  if (material.kind !== "signing_key")
    throw unusable(`message_signature takes a signing_key, custody sent ${material.kind}`);
  const text = revealed(material.key);
  const key = privateKey(text);
  const fault = FITS[spec.algorithm](key);
  if (fault !== null) throw unusable(`the key does not fit ${spec.algorithm}: ${fault}`);
  return { id: material.keyId, texts: [text], sign: signer(key, spec.algorithm) };
}

function privateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // The parser's own words may hold a piece of the key.
    throw unusable("the key is no PEM of a private key without a passphrase");
  }
}

type Asymmetric = Exclude<SignatureAlgorithm, "hmac-sha256">;

const MIN_RSA_BITS = 2048;

const FITS: Readonly<Record<Asymmetric, (key: KeyObject) => string | null>> = {
  ed25519: (key) => (key.asymmetricKeyType === "ed25519" ? null : "it is no Ed25519 key"),
  "ecdsa-p256-sha256": (key) => curveFault(key, "prime256v1"),
  "ecdsa-p384-sha384": (key) => curveFault(key, "secp384r1"),
  "rsa-pss-sha512": (key) => rsaFault(key, ["rsa", "rsa-pss"]),
  "rsa-v1_5-sha256": (key) => rsaFault(key, ["rsa"]),
};

function curveFault(key: KeyObject, curve: string): string | null {
  return key.asymmetricKeyDetails?.namedCurve === curve ? null : `it is not on the curve ${curve}`;
}

function rsaFault(key: KeyObject, types: readonly string[]): string | null {
  if (!types.includes(key.asymmetricKeyType ?? "")) return `it is not of type ${types.join(" or ")}`;
  return (key.asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_RSA_BITS
    ? null
    : `it has less than ${MIN_RSA_BITS} bits`;
}

function signer(key: KeyObject, algorithm: Asymmetric): SignatureKey["sign"] {
  switch (algorithm) {
    case "ed25519":
      return (base) => sign(null, base, key);
    // RFC 9421 §3.3.4 and §3.3.5: r and s one behind the other.
    case "ecdsa-p256-sha256":
      return (base) => sign("sha256", base, { key, dsaEncoding: "ieee-p1363" });
    case "ecdsa-p384-sha384":
      return (base) => sign("sha384", base, { key, dsaEncoding: "ieee-p1363" });
    // §3.3.1: the salt is as long as the digest.
    case "rsa-pss-sha512":
      return (base) => signBeside("sha512", base, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 });
    case "rsa-v1_5-sha256":
      return (base) => signBeside("sha256", base, { key, padding: constants.RSA_PKCS1_PADDING });
  }
}

function signBeside(hash: string, base: Buffer, key: SignKeyObjectInput): Promise<Buffer> {
  return new Promise((done, fail) => {
    sign(hash, base, key, (error, signature) => (error === null ? done(signature) : fail(error)));
  });
}
