import { type Element, readElement, readElements } from "./der-reader.ts";

/** What node:crypto's `X509Certificate` does not tell about a CA: RFC 5280 §4.1 fields and §4.2.1 extensions as their bytes. */
export interface CertificateFields {
  /** Subject Name, DER: what a leaf carries as its issuer, byte for byte. */
  readonly subjectName: Buffer;
  /** Contents of the subjectPublicKey BIT STRING without the unused-bits octet. */
  readonly publicKeyBits: Buffer;
  /** Subject key identifier, or `null` when the certificate has none. */
  readonly keyIdentifier: Buffer | null;
  readonly basicConstraints: BasicConstraints | null;
  readonly keyUsage: KeyUsage | null;
  /** NameConstraints, DER, or `null`. */
  readonly nameConstraints: Buffer | null;
}

export interface BasicConstraints {
  readonly critical: boolean;
  readonly ca: boolean;
  /** How many intermediates may follow before the leaf; `null` = any. */
  readonly pathLength: number | null;
}

export interface KeyUsage {
  readonly critical: boolean;
  readonly certSign: boolean;
}

/** @param der one certificate. @throws RangeError when it is not one */
export function readCertificateFields(der: Buffer): CertificateFields {
  const tbs = readElements(readElement(der).contents)[0];
  if (tbs === undefined) throw new RangeError("certificate: TBSCertificate is absent");
  const parts = readElements(tbs.contents);
  // TBSCertificate: [0] version (absent in v1), serial, signature, issuer, validity, subject, subjectPublicKeyInfo, ...
  const first = parts[0]?.tag === 0xa0 ? 1 : 0;
  const subject = parts[first + 4];
  const spki = parts[first + 5];
  if (subject === undefined || spki === undefined) throw new RangeError("certificate: fields are absent");
  const extensions = readExtensions(parts.find((part) => part.tag === 0xa3));
  return {
    subjectName: subject.whole,
    publicKeyBits: publicKeyBitsOf(spki.whole),
    keyIdentifier: valueOf(extensions.get(OID_SKI))?.contents ?? null,
    basicConstraints: readBasicConstraints(extensions.get(OID_BASIC_CONSTRAINTS)),
    keyUsage: readKeyUsage(extensions.get(OID_KEY_USAGE)),
    nameConstraints: valueOf(extensions.get(OID_NAME_CONSTRAINTS))?.whole ?? null,
  };
}

/** @param spki SubjectPublicKeyInfo, DER */
export function publicKeyBitsOf(spki: Buffer): Buffer {
  const key = readElements(readElement(spki).contents)[1];
  if (key === undefined) throw new RangeError("SubjectPublicKeyInfo: key is absent");
  return key.contents.subarray(1);
}

// Contents of the OBJECT IDENTIFIERs 2.5.29.{14,15,19,30}, as hexadecimal.
const OID_SKI = "551d0e";
const OID_KEY_USAGE = "551d0f";
const OID_BASIC_CONSTRAINTS = "551d13";
const OID_NAME_CONSTRAINTS = "551d1e";

interface Extension {
  readonly critical: boolean;
  readonly value: Buffer;
}

function readExtensions(tagged: Element | undefined): Map<string, Extension> {
  const extensions = new Map<string, Extension>();
  if (tagged === undefined) return extensions;
  for (const { contents } of readElements(readElement(tagged.contents).contents)) {
    const [id, ...rest] = readElements(contents);
    const value = rest.at(-1);
    if (id === undefined || value === undefined) throw new RangeError("certificate: extension is cut off");
    const critical = rest.length === 2 && rest[0]?.contents[0] === 0xff;
    extensions.set(id.contents.toString("hex"), { critical, value: value.contents });
  }
  return extensions;
}

function valueOf(extension: Extension | undefined): Element | null {
  return extension === undefined ? null : readElement(extension.value);
}

/** BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL } */
function readBasicConstraints(extension: Extension | undefined): BasicConstraints | null {
  if (extension === undefined) return null;
  const parts = readElements(readElement(extension.value).contents);
  const ca = parts.find((part) => part.tag === 0x01);
  const length = parts.find((part) => part.tag === 0x02);
  return {
    critical: extension.critical,
    ca: ca?.contents[0] === 0xff,
    pathLength: length === undefined ? null : readLength(length.contents),
  };
}

function readLength(contents: Buffer): number {
  // Longer than any chain in the world: as good as unlimited, and it does not overflow.
  return contents.length > 4 ? Number.MAX_SAFE_INTEGER : contents.readUIntBE(0, contents.length);
}

/** KeyUsage ::= BIT STRING; keyCertSign is bit 5, counted from the highest bit of the first byte. */
function readKeyUsage(extension: Extension | undefined): KeyUsage | null {
  if (extension === undefined) return null;
  const { contents } = readElement(extension.value);
  return { critical: extension.critical, certSign: ((contents[1] ?? 0) & 0x04) !== 0 };
}
