import { type KeyObject, sign } from "node:crypto";
import { type Der, encode, nothing, oid, sequence } from "./der.ts";

/** How a CA key signs. */
export interface SignatureAlgorithm {
  /** For people: `ecdsa-with-SHA256`. */
  readonly name: string;
  /** AlgorithmIdentifier, DER. */
  readonly identifier: Buffer;
  /** Digest for `crypto.sign`; `null` where the algorithm brings its own. */
  readonly digest: string | null;
}

/** @returns the algorithm that goes with the key, or `null` when certificates of such a key are of no use to TLS clients */
export function signatureAlgorithmOf(key: KeyObject): SignatureAlgorithm | null {
  const details = key.asymmetricKeyDetails;
  switch (key.asymmetricKeyType) {
    case "rsa":
      return (details?.modulusLength ?? 0) >= 2048 ? RSA : null;
    case "ec":
      return EC.get(details?.namedCurve ?? "") ?? null;
    case "ed25519":
      return ED25519;
    default:
      return null;
  }
}

/** @returns the signature as X.509 holds it: DER (r, s) for ECDSA, PKCS#1 v1.5 for RSA */
export function signWith(algorithm: SignatureAlgorithm, key: KeyObject, bytes: Buffer): Buffer {
  return sign(algorithm.digest, bytes, key);
}

const algorithm = (name: string, digest: string | null, ...identifier: Der[]): SignatureAlgorithm => ({
  name,
  digest,
  identifier: encode(sequence(...identifier)),
});

// RFC 4055 §5: RSA carries a NULL; RFC 5758 §3.2 and RFC 8410 §3: ECDSA and Ed25519 carry no parameters at all.
const RSA = algorithm("sha256WithRSAEncryption", "sha256", oid("1.2.840.113549.1.1.11"), nothing());
const ED25519 = algorithm("ed25519", null, oid("1.3.101.112"));
const EC: ReadonlyMap<string, SignatureAlgorithm> = new Map([
  ["prime256v1", algorithm("ecdsa-with-SHA256", "sha256", oid("1.2.840.10045.4.3.2"))],
  ["secp384r1", algorithm("ecdsa-with-SHA384", "sha384", oid("1.2.840.10045.4.3.3"))],
  ["secp521r1", algorithm("ecdsa-with-SHA512", "sha512", oid("1.2.840.10045.4.3.4"))],
]);
