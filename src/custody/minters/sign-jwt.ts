import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import type { SigningAlgorithm } from "../../core/mint.ts";
import type { Secret } from "../../core/secret.ts";
import { SourceError } from "../sources/source.ts";

/** What a header and a payload may say; nothing else is signed. */
export interface JwtPart {
  readonly [name: string]: JwtValue;
}
export type JwtValue = string | number | boolean | readonly string[] | JwtPart;

/** A key that signs, read of the PEM of a root. */
export class JwtKey {
  readonly #key: KeyObject;
  readonly #algorithm: SigningAlgorithm;
  readonly #keyId: string | null;

  private constructor(key: KeyObject, algorithm: SigningAlgorithm, keyId: string | null) {
    this.#key = key;
    this.#algorithm = algorithm;
    this.#keyId = keyId;
  }

  /**
   * @param pem unencrypted PKCS #8, or PKCS #1 and SEC 1 as OpenSSL writes them
   * @param where names the key in errors, such as `credential "x": the source`
   * @throws SourceError when it is no key, or none for this algorithm; its text holds nothing of the key
   */
  static of(pem: Secret, algorithm: SigningAlgorithm, keyId: string | null, where: string): JwtKey {
    const key = parsed(pem);
    if (key === null) throw new SourceError(`${where} yields no private key: let it yield unencrypted PEM`);
    if (!fits(key, algorithm))
      throw new SourceError(
        `${where} yields a key that cannot sign ${algorithm}: ${NEEDED[algorithm]}, or write another algorithm`,
      );
    return new JwtKey(key, algorithm, keyId);
  }

  /**
   * A compact JWS (RFC 7515 §3.1).
   * @param type `typ` of the header, or `null` for none
   * @param more of the header, such as the hash of a certificate
   */
  sign(payload: JwtPart, type: string | null = "JWT", more: JwtPart = {}): string {
    const header = {
      ...more,
      alg: this.#algorithm,
      ...(type === null ? {} : { typ: type }),
      ...(this.#keyId === null ? {} : { kid: this.#keyId }),
    };
    const input = `${encoded(header)}.${encoded(payload)}`;
    return `${input}.${signature(this.#algorithm, this.#key, Buffer.from(input)).toString("base64url")}`;
  }
}

function signature(algorithm: SigningAlgorithm, key: KeyObject, input: Buffer): Buffer {
  switch (algorithm) {
    case "EdDSA":
      return sign(null, input, key);
    case "ES256":
      // RFC 7518 §3.4: R and S side by side, not DER.
      return sign("sha256", input, { key, dsaEncoding: "ieee-p1363" });
    case "RS256":
      return sign("sha256", input, key);
    case "PS256":
      return sign("sha256", input, { key, padding: RSA_PKCS1_PSS_PADDING, saltLength: 32 });
  }
}

/** `constants.RSA_PKCS1_PSS_PADDING` of OpenSSL. */
const RSA_PKCS1_PSS_PADDING = 6;

const NEEDED: Readonly<Record<SigningAlgorithm, string>> = {
  EdDSA: "make one of Ed25519",
  ES256: "make one of P-256",
  RS256: "make one of RSA, 2048 bits or more",
  PS256: "make one of RSA, 2048 bits or more",
};

function fits(key: KeyObject, algorithm: SigningAlgorithm): boolean {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  switch (algorithm) {
    case "EdDSA":
      return type === "ed25519";
    case "ES256":
      return type === "ec" && details?.namedCurve === "prime256v1";
    case "RS256":
    case "PS256":
      // RFC 7518 §3.3: 2048 bits or larger.
      return type === "rsa" && (details?.modulusLength ?? 0) >= 2048;
  }
}

function parsed(pem: Secret): KeyObject | null {
  try {
    return createPrivateKey({ key: pem.reveal(), format: "pem" });
  } catch {
    // OpenSSL's text says nothing that an operator could use.
    return null;
  }
}

function encoded(part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}
