import { createHash } from "node:crypto";
import {
  bits,
  boolean,
  type Der,
  encode,
  encoded,
  integer,
  octets,
  oid,
  sequence,
  set,
  tagged,
  time,
  utf8,
} from "./der.ts";

/** An X.509 v3 certificate (RFC 5280 §4.1) before it is signed. */
export interface CertificateParts {
  /** 1 to 20 bytes, positive. */
  readonly serial: Buffer;
  /** AlgorithmIdentifier of the issuer's key, DER. */
  readonly algorithm: Buffer;
  /** Name, DER. */
  readonly issuer: Buffer;
  /** Milliseconds since the epoch; cut to whole seconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly subject: Der;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer;
  readonly extensions: readonly Der[];
}

/**
 * @param sign the issuer's key at work: TBSCertificate in, signature out
 * @returns the certificate, DER
 */
export function buildCertificate(parts: CertificateParts, sign: (tbs: Buffer) => Buffer): Buffer {
  const algorithm = encoded(parts.algorithm);
  const tbs = encode(
    sequence(
      VERSION_3,
      integer(parts.serial),
      algorithm,
      encoded(parts.issuer),
      sequence(time(parts.notBeforeMs), time(parts.notAfterMs)),
      parts.subject,
      encoded(parts.publicKey),
      tagged(3, sequence(...parts.extensions)),
    ),
  );
  return encode(sequence(encoded(tbs), algorithm, bits(sign(tbs))));
}

/** RFC 5280 §4.1.2.2: positive, at most 20 octets; 126 random bits so that no two certificates of one issuer share it. */
export function randomSerial(randomBytes: (size: number) => Buffer): Buffer {
  const serial = Buffer.from(randomBytes(16));
  // Top bit clear: positive. Next bit set: the first octet is never zero, so that the encoding is minimal as it stands.
  serial[0] = ((serial[0] as number) & 0x7f) | 0x40;
  return serial;
}

/** RFC 7093 §2 method 1: the leftmost 160 bits of SHA-256 over the public key bits. */
export function keyIdentifierOf(publicKeyBits: Buffer): Buffer {
  return createHash("sha256").update(publicKeyBits).digest().subarray(0, 20);
}

/** Extension ::= SEQUENCE { extnID, critical DEFAULT FALSE, extnValue OCTET STRING }; a default is left out in DER. */
export function extension(id: Der, critical: boolean, value: Der): Der {
  const bytes = octets(encode(value));
  return critical ? sequence(id, boolean(true), bytes) : sequence(id, bytes);
}

/** A Name of one CN, or the empty Name. UTF8String: a PrintableString has no underscore. */
export function commonName(text: string | null): Der {
  return text === null ? sequence() : sequence(set(sequence(OID_COMMON_NAME, utf8(text))));
}

/** ub-common-name of RFC 5280 appendix A.1: longer ones are refused by OpenSSL and others. */
export const COMMON_NAME_LIMIT = 64;

const VERSION_3 = tagged(0, integer(Buffer.of(2)));
const OID_COMMON_NAME = oid("2.5.4.3");

export const OID_SUBJECT_KEY_IDENTIFIER = oid("2.5.29.14");
export const OID_KEY_USAGE = oid("2.5.29.15");
export const OID_SUBJECT_ALT_NAME = oid("2.5.29.17");
export const OID_BASIC_CONSTRAINTS = oid("2.5.29.19");
export const OID_NAME_CONSTRAINTS = oid("2.5.29.30");
export const OID_AUTHORITY_KEY_IDENTIFIER = oid("2.5.29.35");
export const OID_EXTENDED_KEY_USAGE = oid("2.5.29.37");
