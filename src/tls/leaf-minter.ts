import { generateKeyPairSync, type KeyObject } from "node:crypto";
import type { Authority } from "../core/authority.ts";
import type { Clock } from "../core/clock.ts";
import { Secret } from "../core/secret.ts";
import { CaError } from "./ca-error.ts";
import {
  buildCertificate,
  COMMON_NAME_LIMIT,
  commonName,
  extension,
  keyIdentifierOf,
  OID_AUTHORITY_KEY_IDENTIFIER,
  OID_BASIC_CONSTRAINTS,
  OID_EXTENDED_KEY_USAGE,
  OID_KEY_USAGE,
  OID_SUBJECT_ALT_NAME,
  OID_SUBJECT_KEY_IDENTIFIER,
  randomSerial,
} from "./certificate-builder.ts";
import type { CertificateAuthority } from "./certificate-authority.ts";
import { publicKeyBitsOf } from "./certificate-fields.ts";
import { bits, type Der, encode, encoded, octets, oid, sequence, taggedBytes } from "./der.ts";
import { toPem } from "./pem.ts";

/** What a leaf needs of its CA. */
export type LeafIssuer = Pick<
  CertificateAuthority,
  | "subject"
  | "issuerName"
  | "keyIdentifier"
  | "limits"
  | "chainPem"
  | "notBeforeMs"
  | "notAfterMs"
  | "signatureIdentifier"
  | "sign"
>;

export interface LeafMinterOptions {
  readonly ca: LeafIssuer;
  /** `ec`: P-256. `rsa` (2048 bits) only where a guest cannot do ECDSA: its handshakes cost a good deal more. */
  readonly leafKey: "ec" | "rsa";
  /** How long a leaf lives; shorter where the CA or an intermediate ends earlier. */
  readonly lifetimeMs: number;
  readonly clock: Clock;
  readonly randomBytes: (size: number) => Buffer;
}

export interface Leaf {
  readonly der: Buffer;
  /** The leaf, then the intermediates: what is served. */
  readonly chainPem: string;
  /** Wall clock, ms since the epoch. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Guests' clocks go slow: a leaf is valid from an hour ago on. */
const BACKDATE_MS = 3_600_000;

/**
 * Signs leaves with the customer's CA. One key serves all leaves of a process. Every part that does not depend on the host
 * is encoded once.
 */
export class LeafMinter {
  readonly #options: LeafMinterOptions;
  readonly #publicKey: Buffer;
  readonly #extensions: readonly Der[];
  /** The key of every leaf, PKCS#8 PEM. */
  readonly keyPem: Secret;

  constructor(options: LeafMinterOptions) {
    const { publicKey, privateKey } = generateLeafKey(options.leafKey);
    this.#options = options;
    this.#publicKey = publicKey.export({ type: "spki", format: "der" });
    this.#extensions = constantExtensions(options, this.#publicKey);
    this.keyPem = Secret.of(privateKey.export({ type: "pkcs8", format: "pem" }) as string);
  }

  /**
   * @param authority whose host goes into the subjectAltName: a name exactly as it is, an address as an address
   * @throws CaError `ca_expired` when the CA has run out since it was loaded, `ca_name_constraints` when it may not sign
   *   for this host
   */
  mint(authority: Authority): Leaf {
    const { ca, clock, lifetimeMs, randomBytes } = this.#options;
    const nowMs = clock.wallMs();
    if (nowMs >= ca.notAfterMs) {
      throw new CaError("ca_expired", `the CA "${ca.subject}" has run out`, "renew it, then restart");
    }
    if (!ca.limits.permits(authority)) {
      const next = "use a CA that may (postern ca init --permit), or take the destination out";
      throw new CaError("ca_name_constraints", `the CA "${ca.subject}" may not sign for ${authority.host}`, next);
    }
    const notBeforeMs = Math.max(nowMs - BACKDATE_MS, ca.notBeforeMs);
    const notAfterMs = Math.min(nowMs + lifetimeMs, ca.notAfterMs);
    const name = ca.limits.limitsSubject ? null : subjectNameOf(authority);
    const der = buildCertificate(
      {
        serial: randomSerial(randomBytes),
        algorithm: ca.signatureIdentifier,
        issuer: ca.issuerName,
        notBeforeMs,
        notAfterMs,
        subject: commonName(name),
        publicKey: this.#publicKey,
        // RFC 5280 §4.2.1.6: with an empty subject the alternative name is the only one, and critical.
        extensions: [...this.#extensions, extension(OID_SUBJECT_ALT_NAME, name === null, alternativeName(authority))],
      },
      (tbs) => ca.sign(tbs),
    );
    return { der, chainPem: toPem("CERTIFICATE", der) + ca.chainPem, notBeforeMs, notAfterMs };
  }
}

/**
 * The CN, for people who look at the certificate: clients go by the subjectAltName. None for an address, which OpenSSL
 * would hold against the DNS name constraints of the CA, and none above the limit of X.520.
 */
function subjectNameOf({ host, ip }: Authority): string | null {
  return ip === null && host.length <= COMMON_NAME_LIMIT ? host : null;
}

/** GeneralNames of one dNSName [2] or iPAddress [7]. */
function alternativeName({ host, ip }: Authority): Der {
  return sequence(ip === null ? taggedBytes(2, Buffer.from(host, "latin1")) : taggedBytes(7, Buffer.from(ip)));
}

function constantExtensions({ ca, leafKey }: LeafMinterOptions, publicKey: Buffer): Der[] {
  // digitalSignature is bit 0; keyEncipherment, bit 2, is for RSA key exchange in TLS 1.2 only.
  const usage = leafKey === "rsa" ? bits(Buffer.of(0xa0), 5) : bits(Buffer.of(0x80), 7);
  const keyIdentifier = keyIdentifierOf(publicKeyBitsOf(publicKey));
  return [
    extension(OID_BASIC_CONSTRAINTS, true, sequence()),
    extension(OID_KEY_USAGE, true, usage),
    extension(OID_EXTENDED_KEY_USAGE, false, sequence(oid("1.3.6.1.5.5.7.3.1"))),
    extension(OID_SUBJECT_KEY_IDENTIFIER, false, octets(keyIdentifier)),
    extension(OID_AUTHORITY_KEY_IDENTIFIER, false, sequence(taggedBytes(0, ca.keyIdentifier))),
  ].map((node) => encoded(encode(node)));
}

function generateLeafKey(kind: "ec" | "rsa"): { publicKey: KeyObject; privateKey: KeyObject } {
  return kind === "ec"
    ? generateKeyPairSync("ec", { namedCurve: "P-256" })
    : generateKeyPairSync("rsa", { modulusLength: 2048 });
}
