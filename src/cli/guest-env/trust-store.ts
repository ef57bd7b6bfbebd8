import { createHash, createHmac, type X509Certificate } from "node:crypto";
import { encode, integer, nothing, octets, oid, sequence, set, tagged, type Der } from "../../tls/der.ts";

/** What Java's own trust store has; it protects nothing, since the store holds public certificates alone. */
export const TRUST_STORE_PASSWORD = "changeit";

const OID = {
  data: "1.2.840.113549.1.7.1",
  certBag: "1.2.840.113549.1.12.10.1.3",
  x509Certificate: "1.2.840.113549.1.9.22.1",
  /** Oracle's mark of a trusted certificate: without it Java skips the entry. */
  trustedKeyUsage: "2.16.840.1.113894.746875.1.1",
  anyExtendedKeyUsage: "2.5.29.37.0",
  sha1: "1.3.14.3.2.26",
} as const;

const MAC_ITERATIONS = 2048;

/**
 * A PKCS#12 trust store (RFC 7292) that every Java from 8 on reads. The certificates stand in the clear; the MAC is SHA-1
 * because older JVMs know no other, and it only has to say that the file is whole.
 * @param salt 8 bytes or more
 */
export function makeTrustStore(certificates: readonly X509Certificate[], salt: Buffer): Buffer {
  const contents = encode(sequence(contentInfo(encode(sequence(...certificates.map(trustedCertificate))))));
  const key = macKey(TRUST_STORE_PASSWORD, salt, MAC_ITERATIONS);
  const mac = createHmac("sha1", key).update(contents).digest();
  const digestInfo = sequence(sequence(oid(OID.sha1), nothing()), octets(mac));
  const macData = sequence(
    digestInfo,
    octets(salt),
    integer(Buffer.from([MAC_ITERATIONS >> 8, MAC_ITERATIONS & 0xff])),
  );
  return encode(sequence(integer(Buffer.from([3])), contentInfo(contents), macData));
}

/** RFC 7292 §4: a ContentInfo of type data. */
function contentInfo(bytes: Buffer): Der {
  return sequence(oid(OID.data), tagged(0, octets(bytes)));
}

/** RFC 7292 §4.2.3: a certBag, marked as trusted for every purpose. */
function trustedCertificate(certificate: X509Certificate): Der {
  const bag = sequence(oid(OID.x509Certificate), tagged(0, octets(certificate.raw)));
  const mark = sequence(oid(OID.trustedKeyUsage), set(oid(OID.anyExtendedKeyUsage)));
  return sequence(oid(OID.certBag), tagged(0, bag), set(mark));
}

/**
 * RFC 7292 appendix B.2 with SHA-1 and purpose 3 (MAC). Twenty bytes are one block of the hash, so that the step that
 * stretches the input for further blocks is not needed.
 */
function macKey(password: string, salt: Buffer, iterations: number): Buffer {
  const block = 64;
  const bmp = Buffer.from(`${password}\0`, "utf16le").swap16();
  let digest = Buffer.concat([Buffer.alloc(block, 3), repeatTo(salt, block), repeatTo(bmp, block)]);
  for (let i = 0; i < iterations; i++) digest = createHash("sha1").update(digest).digest();
  return digest;
}

/** Copies of `bytes`, cut at the next multiple of `block`. */
function repeatTo(bytes: Buffer, block: number): Buffer {
  return Buffer.alloc(Math.ceil(bytes.length / block) * block, bytes);
}
