import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import type { Secret } from "../core/secret.ts";
import { CaError } from "./ca-error.ts";
import { isRoot, orderChain, subjectOf } from "./ca-chain.ts";
import { checkCertificates } from "./ca-checks.ts";
import { keyIdentifierOf } from "./certificate-builder.ts";
import { readCertificateFields } from "./certificate-fields.ts";
import { NameLimits } from "./name-limits.ts";
import { pemBlocks, toPem } from "./pem.ts";
import { type SignatureAlgorithm, signatureAlgorithmOf, signWith } from "./signature-algorithm.ts";

/**
 * `src/tls/` holds the customer's CA and makes leaves of it: this class is the CA that was checked, `leaf-minter.ts` signs
 * a leaf for one host, `leaf-cache.ts` keeps the TLS contexts, `create-ca.ts` makes a new CA. node-forge lays out DER;
 * every key is held, and every signature made, by node:crypto.
 */
export class CertificateAuthority {
  readonly #key: KeyObject;
  readonly #algorithm: SignatureAlgorithm;
  /** The issuing CA. */
  readonly certificate: X509Certificate;
  /** Subject of the issuing CA, DER, as its own bytes: the issuer of every leaf. */
  readonly issuerName: Buffer;
  /** What a leaf names as its authority key: the CA's own subject key identifier. */
  readonly keyIdentifier: Buffer;
  /** What the chain may sign for. */
  readonly limits: NameLimits;
  /** What is served after the leaf: intermediates in order, the root left out (RFC 8446 §4.4.2). May be "". */
  readonly chainPem: string;
  /** What guests have to trust: the root, or the topmost certificate that is known. */
  readonly anchor: X509Certificate;
  readonly anchorPem: string;
  /** From when on the whole chain is valid, ms since the epoch. */
  readonly notBeforeMs: number;
  /** Until when the whole chain is valid, ms since the epoch. */
  readonly notAfterMs: number;
  /** What works for most clients and not for all, each ending in a next step. */
  readonly warnings: readonly string[];

  private constructor(chain: readonly X509Certificate[], key: KeyObject, warnings: readonly string[]) {
    const issuing = chain[0] as X509Certificate;
    const anchor = chain.at(-1) as X509Certificate;
    const fields = readCertificateFields(issuing.raw);
    this.#key = key;
    this.#algorithm = supportedAlgorithm(key);
    this.certificate = issuing;
    this.issuerName = fields.subjectName;
    // A CA without the extension has no identifier to copy; a computed one is what clients that build by key expect.
    this.keyIdentifier = fields.keyIdentifier ?? keyIdentifierOf(fields.publicKeyBits);
    this.limits = NameLimits.read(
      chain.map((one) => readCertificateFields(one.raw).nameConstraints).filter((der) => der !== null),
    );
    const served = isRoot(anchor) ? chain.slice(0, -1) : chain;
    this.chainPem = served.map((one) => toPem("CERTIFICATE", one.raw)).join("");
    this.anchor = anchor;
    this.anchorPem = toPem("CERTIFICATE", anchor.raw);
    this.notBeforeMs = Math.max(...chain.map((one) => one.validFromDate.getTime()));
    this.notAfterMs = Math.min(...chain.map((one) => one.validToDate.getTime()));
    this.warnings = warnings;
  }

  /**
   * Checks a CA before anything is signed with it.
   * @param pem certificates (the issuing CA and its intermediates), its key and, when that is encrypted, the passphrase
   * @param nowMs wall clock, ms since the epoch
   * @throws CaError for everything that would make guests refuse the leaves
   */
  static fromPem(pem: CaPem, nowMs: number): CertificateAuthority {
    const certificates = readCertificates(pem);
    const key = readKey(pem);
    const chain = orderChain(certificates, key, pem);
    const warnings = checkCertificates(chain, pem.certificateName, nowMs);
    if (pem.passphrase !== null && !isEncrypted(pem.key)) {
      warnings.push(
        `${pem.keyName}: the key is not encrypted although a passphrase is given: encrypt it, or leave it out`,
      );
    }
    return new CertificateAuthority(chain, key, warnings);
  }

  /** Subject of the issuing CA for people, one line. */
  get subject(): string {
    return subjectOf(this.certificate);
  }

  /** SHA-256 over the issuing CA, upper-case hexadecimal with colons. */
  get fingerprint(): string {
    return this.certificate.fingerprint256;
  }

  /** For people: `ecdsa-with-SHA256`. */
  get signatureName(): string {
    return this.#algorithm.name;
  }

  /** AlgorithmIdentifier of what `sign` makes, DER. */
  get signatureIdentifier(): Buffer {
    return this.#algorithm.identifier;
  }

  /** @param tbs a TBSCertificate. @returns its signature */
  sign(tbs: Buffer): Buffer {
    return signWith(this.#algorithm, this.#key, tbs);
  }
}

/** A CA as text, with the names that errors call its parts by. */
export interface CaPem {
  readonly certificates: string;
  readonly certificateName: string;
  readonly key: string;
  readonly keyName: string;
  readonly passphrase: Secret | null;
}

function readCertificates(pem: CaPem): X509Certificate[] {
  const name = pem.certificateName;
  const blocks = pemBlocks(pem.certificates)?.filter(
    ({ label }) => label === "CERTIFICATE" || label === "X509 CERTIFICATE",
  );
  if (blocks === undefined || blocks.length === 0) {
    const next = "write the CA in PEM, its intermediates after it (from DER: openssl x509 -inform der -in FILE)";
    throw new CaError("ca_pem_broken", `${name}: no whole PEM certificate in it`, next);
  }
  return blocks.map(({ text }, i) => {
    try {
      return readCertificate(text);
    } catch (cause) {
      const next = "copy the block again from where it came";
      throw new CaError("ca_pem_broken", `${name}: certificate ${i + 1} cannot be read`, next, { cause });
    }
  });
}

/** What OpenSSL reads and our own reader does not is refused here, not in the middle of the checks. */
function readCertificate(text: string): X509Certificate {
  const certificate = new X509Certificate(text);
  const { nameConstraints } = readCertificateFields(certificate.raw);
  if (nameConstraints !== null) NameLimits.read([nameConstraints]);
  return certificate;
}

function readKey(pem: CaPem): KeyObject {
  const name = pem.keyName;
  const block = pemBlocks(pem.key)?.find(({ label }) => label.endsWith("PRIVATE KEY"));
  if (block === undefined) {
    const next = "write the CA's private key in PEM (from DER: openssl pkey -inform der -in FILE)";
    throw new CaError("ca_pem_broken", `${name}: no whole PEM private key in it`, next);
  }
  if (isEncrypted(block.text) && pem.passphrase === null) {
    throw new CaError("ca_passphrase_missing", `${name}: the key is encrypted`, "name its passphrase_file");
  }
  try {
    const passphrase = pem.passphrase?.reveal();
    return createPrivateKey({ key: block.text, format: "pem", ...(passphrase === undefined ? {} : { passphrase }) });
  } catch (cause) {
    if (isEncrypted(block.text)) {
      const next = "check what the passphrase_file holds (one line, without blanks around it)";
      throw new CaError("ca_passphrase_wrong", `${name}: the passphrase does not open the key`, next, { cause });
    }
    const next = "copy the key again from where it came";
    throw new CaError("ca_pem_broken", `${name}: the private key cannot be read`, next, { cause });
  }
}

/** PKCS#8 says so in its label, PKCS#1 and SEC1 in an RFC 1421 header. */
function isEncrypted(keyPem: string): boolean {
  return keyPem.includes("BEGIN ENCRYPTED PRIVATE KEY") || keyPem.includes("Proc-Type: 4,ENCRYPTED");
}

function supportedAlgorithm(key: KeyObject): SignatureAlgorithm {
  const algorithm = signatureAlgorithmOf(key);
  if (algorithm !== null) return algorithm;
  const kind = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyDetails?.modulusLength ?? "";
  throw new CaError(
    "ca_key_unsupported",
    `CA key: ${`${key.asymmetricKeyType} ${kind}`.trim()} is not a key that clients accept`,
    "use RSA of 2048 bits or more, or EC on P-256 or P-384 (postern ca init --key ec)",
  );
}
