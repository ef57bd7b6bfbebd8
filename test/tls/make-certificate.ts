import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import {
  buildCertificate,
  commonName,
  extension,
  keyIdentifierOf,
  OID_AUTHORITY_KEY_IDENTIFIER,
  OID_BASIC_CONSTRAINTS,
  OID_EXTENDED_KEY_USAGE,
  OID_KEY_USAGE,
  OID_SUBJECT_KEY_IDENTIFIER,
  randomSerial,
} from "../../src/tls/certificate-builder.ts";
import { publicKeyBitsOf } from "../../src/tls/certificate-fields.ts";
import { bits, boolean, type Der, encode, integer, octets, oid, sequence, taggedBytes } from "../../src/tls/der.ts";
import { toPem } from "../../src/tls/pem.ts";
import { signatureAlgorithmOf, signWith } from "../../src/tls/signature-algorithm.ts";

/** 2026-06-01T00:00:00Z: the wall clock of these tests. */
export const NOW_MS = Date.UTC(2026, 5, 1);
export const DAY_MS = 86_400_000;

export type KeyKind = "p256" | "p384" | "p521" | "rsa1024" | "rsa2048" | "ed25519" | "secp256k1";

export interface Shape {
  readonly name?: string;
  readonly key?: KeyKind;
  readonly issuer?: Made;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  /** `null`: without the extension. */
  readonly basicConstraints?: {
    readonly critical?: boolean;
    readonly ca?: boolean;
    readonly pathLength?: number;
  } | null;
  /** First byte of the BIT STRING; `null`: without the extension. */
  readonly keyUsage?: number | null;
  readonly extendedKeyUsage?: readonly string[];
  readonly keyIdentifier?: boolean;
  readonly extensions?: readonly Der[];
}

export interface Made {
  readonly name: string;
  readonly pem: string;
  readonly der: Buffer;
  readonly keyPem: string;
  readonly key: KeyObject;
  readonly identifier: Buffer;
}

/** A certificate with exactly the faults that a test asks for; without any it is a good CA. */
export function makeCertificate(shape: Shape = {}): Made {
  const name = shape.name ?? "Test CA";
  const { publicKey, privateKey } = generate(shape.key ?? "p256");
  const spki = publicKey.export({ type: "spki", format: "der" });
  const identifier = keyIdentifierOf(publicKeyBitsOf(spki));
  const issuer = shape.issuer ?? { name, key: privateKey, identifier };
  const algorithm = signatureAlgorithmOf(issuer.key) ?? signatureAlgorithmOf(generate("rsa2048").privateKey);
  if (algorithm === null) throw new Error("no algorithm");
  const der = buildCertificate(
    {
      serial: randomSerial(randomBytes),
      algorithm: algorithm.identifier,
      issuer: encode(commonName(issuer.name === "" ? null : issuer.name)),
      notBeforeMs: shape.notBeforeMs ?? NOW_MS - DAY_MS,
      notAfterMs: shape.notAfterMs ?? NOW_MS + 365 * DAY_MS,
      subject: commonName(name === "" ? null : name),
      publicKey: spki,
      extensions: extensionsOf(shape, identifier, issuer.identifier),
    },
    (tbs) => signWith(algorithm, issuer.key, tbs),
  );
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  return { name, pem: toPem("CERTIFICATE", der), der, keyPem, key: privateKey, identifier };
}

function extensionsOf(shape: Shape, identifier: Buffer, issuerIdentifier: Buffer): Der[] {
  const extensions: Der[] = [...(shape.extensions ?? [])];
  if (shape.basicConstraints !== null) {
    const { critical = true, ca = true, pathLength } = shape.basicConstraints ?? {};
    const parts = ca ? [boolean(true)] : [];
    if (pathLength !== undefined) parts.push(integer(Buffer.of(pathLength)));
    extensions.push(extension(OID_BASIC_CONSTRAINTS, critical, sequence(...parts)));
  }
  if (shape.keyUsage !== null)
    extensions.push(extension(OID_KEY_USAGE, true, bits(Buffer.of(shape.keyUsage ?? 0x06), 1)));
  if (shape.extendedKeyUsage !== undefined) {
    extensions.push(extension(OID_EXTENDED_KEY_USAGE, false, sequence(...shape.extendedKeyUsage.map(oid))));
  }
  if (shape.keyIdentifier !== false) {
    extensions.push(extension(OID_SUBJECT_KEY_IDENTIFIER, false, octets(identifier)));
    extensions.push(extension(OID_AUTHORITY_KEY_IDENTIFIER, false, sequence(taggedBytes(0, issuerIdentifier))));
  }
  return extensions;
}

function generate(kind: KeyKind): { publicKey: KeyObject; privateKey: KeyObject } {
  switch (kind) {
    case "rsa1024":
      return generateKeyPairSync("rsa", { modulusLength: 1024 });
    case "rsa2048":
      return generateKeyPairSync("rsa", { modulusLength: 2048 });
    case "ed25519":
      return generateKeyPairSync("ed25519");
    case "p256":
      return generateKeyPairSync("ec", { namedCurve: "P-256" });
    case "p384":
      return generateKeyPairSync("ec", { namedCurve: "P-384" });
    case "p521":
      return generateKeyPairSync("ec", { namedCurve: "P-521" });
    case "secp256k1":
      return generateKeyPairSync("ec", { namedCurve: "secp256k1" });
  }
}
