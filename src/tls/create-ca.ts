import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { Secret } from "../core/secret.ts";
import { CaError } from "./ca-error.ts";
import {
  buildCertificate,
  commonName,
  COMMON_NAME_LIMIT,
  extension,
  keyIdentifierOf,
  OID_AUTHORITY_KEY_IDENTIFIER,
  OID_BASIC_CONSTRAINTS,
  OID_KEY_USAGE,
  OID_NAME_CONSTRAINTS,
  OID_SUBJECT_KEY_IDENTIFIER,
  randomSerial,
} from "./certificate-builder.ts";
import { CertificateAuthority } from "./certificate-authority.ts";
import { publicKeyBitsOf } from "./certificate-fields.ts";
import { bits, boolean, type Der, encode, integer, octets, sequence, taggedBytes } from "./der.ts";
import { nameConstraints, type Permitted } from "./name-constraints.ts";
import { toPem } from "./pem.ts";
import { type SignatureAlgorithm, signatureAlgorithmOf, signWith } from "./signature-algorithm.ts";

export interface NewCaOptions {
  /** CN, at most 64 characters. */
  readonly name: string;
  readonly key: "ec" | "rsa";
  readonly days: number;
  /** What the CA may sign for; empty = anything. */
  readonly permitted: readonly Permitted[];
  /**
   * A root over the issuing CA. Its key is thrown away at once: nothing else can ever be signed with it, and the
   * constraints then bind Java too, which ignores those of a trust anchor.
   */
  readonly intermediate: boolean;
  /** Encrypts the key (PBES2, AES-256), or `null`. */
  readonly passphrase: Secret | null;
  /** Wall clock, ms since the epoch. */
  readonly nowMs: number;
  readonly randomBytes: (size: number) => Buffer;
}

export interface NewCa {
  /** The issuing CA, then its root where there is one. */
  readonly certificatesPem: string;
  /** What guests have to trust. */
  readonly anchorPem: string;
  /** PKCS#8 PEM of the issuing CA's key. */
  readonly keyPem: Secret;
}

/** Makes a CA whose leaves pass the strict verifiers. @throws CaError `ca_argument` */
export function createCa(options: NewCaOptions): NewCa {
  const { name, days, intermediate } = options;
  if (name === "" || name.length > COMMON_NAME_LIMIT) {
    throw new CaError("ca_argument", `--name: ${name.length} characters`, `write 1 to ${COMMON_NAME_LIMIT}`);
  }
  if (!Number.isInteger(days) || days < 1 || days > DAYS_LIMIT) {
    throw new CaError("ca_argument", `--days: ${days}`, `write a whole number from 1 to ${DAYS_LIMIT}`);
  }
  const issuing = generateKey(options.key);
  if (!intermediate) {
    const pem = signCa(options, {
      name,
      key: issuing,
      issuer: { name, key: issuing },
      pathLength: 0,
      constrained: true,
    });
    return { certificatesPem: pem, anchorPem: pem, keyPem: exportKey(issuing.privateKey, options.passphrase) };
  }
  const rootName = `${name.slice(0, COMMON_NAME_LIMIT - ROOT_SUFFIX.length)}${ROOT_SUFFIX}`;
  const root = { name: rootName, key: generateKey(options.key) };
  const rootPem = signCa(options, { ...root, issuer: root, pathLength: 1, constrained: false });
  const pem = signCa(options, { name, key: issuing, issuer: root, pathLength: 0, constrained: true });
  return {
    certificatesPem: pem + rootPem,
    anchorPem: rootPem,
    keyPem: exportKey(issuing.privateKey, options.passphrase),
  };
}

/** A CA in memory only, gone with the process, for `postern dev`. Guests have to trust its `anchorPem`. */
export function createThrowAwayCa(options: {
  readonly nowMs: number;
  readonly randomBytes: (size: number) => Buffer;
}): CertificateAuthority {
  const made = createCa({
    ...options,
    name: defaultCaName("Postern throw-away CA", options.randomBytes),
    key: "ec",
    days: 7,
    permitted: [],
    intermediate: false,
    passphrase: null,
  });
  return CertificateAuthority.fromPem(
    {
      certificates: made.certificatesPem,
      certificateName: "throw-away CA",
      key: made.keyPem.reveal(),
      keyName: "throw-away CA key",
      passphrase: null,
    },
    options.nowMs,
  );
}

/** Two CAs of one name confuse trust stores, which look issuers up by name: each gets eight digits of its own. */
export function defaultCaName(prefix: string, randomBytes: (size: number) => Buffer): string {
  return `${prefix} ${randomBytes(4).toString("hex")}`;
}

const DAYS_LIMIT = 3650;
const DAY_MS = 86_400_000;
const ROOT_SUFFIX = " root";

interface NamedKey {
  readonly name: string;
  readonly key: KeyPair;
}

interface CaCertificate extends NamedKey {
  readonly issuer: NamedKey;
  readonly pathLength: number;
  readonly constrained: boolean;
}

/** @returns the certificate, PEM */
function signCa(options: NewCaOptions, { name, key, issuer, pathLength, constrained }: CaCertificate): string {
  const { algorithm, privateKey } = issuer.key;
  const extensions: Der[] = [
    extension(OID_BASIC_CONSTRAINTS, true, sequence(boolean(true), integer(Buffer.of(pathLength)))),
    // keyCertSign and cRLSign: bits 5 and 6.
    extension(OID_KEY_USAGE, true, bits(Buffer.of(0x06), 1)),
    extension(OID_SUBJECT_KEY_IDENTIFIER, false, octets(key.identifier)),
    extension(OID_AUTHORITY_KEY_IDENTIFIER, false, sequence(taggedBytes(0, issuer.key.identifier))),
  ];
  if (constrained && options.permitted.length > 0) {
    extensions.push(extension(OID_NAME_CONSTRAINTS, true, nameConstraints(options.permitted)));
  }
  const der = buildCertificate(
    {
      serial: randomSerial(options.randomBytes),
      algorithm: algorithm.identifier,
      issuer: encode(commonName(issuer.name)),
      // A day back, for guests whose clocks go slow.
      notBeforeMs: options.nowMs - DAY_MS,
      notAfterMs: options.nowMs + options.days * DAY_MS,
      subject: commonName(name),
      publicKey: key.publicKey,
      extensions,
    },
    (tbs) => signWith(algorithm, privateKey, tbs),
  );
  return toPem("CERTIFICATE", der);
}

interface KeyPair {
  readonly privateKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer;
  readonly identifier: Buffer;
  readonly algorithm: SignatureAlgorithm;
}

function generateKey(kind: "ec" | "rsa"): KeyPair {
  const pair =
    kind === "ec"
      ? generateKeyPairSync("ec", { namedCurve: "P-256" })
      : generateKeyPairSync("rsa", { modulusLength: 2048 });
  const algorithm = signatureAlgorithmOf(pair.privateKey);
  if (algorithm === null) throw new Error(`no signature algorithm for ${kind}`);
  const publicKey = pair.publicKey.export({ type: "spki", format: "der" });
  return { privateKey: pair.privateKey, publicKey, identifier: keyIdentifierOf(publicKeyBitsOf(publicKey)), algorithm };
}

function exportKey(key: KeyObject, passphrase: Secret | null): Secret {
  const encryption = passphrase === null ? {} : { cipher: "aes-256-cbc", passphrase: passphrase.reveal() };
  return Secret.of(key.export({ type: "pkcs8", format: "pem", ...encryption }) as string);
}
