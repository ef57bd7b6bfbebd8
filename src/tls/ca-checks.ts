import type { X509Certificate } from "node:crypto";
import { isRoot, subjectOf } from "./ca-chain.ts";
import { CaError } from "./ca-error.ts";
import { type CertificateFields, readCertificateFields } from "./certificate-fields.ts";

/**
 * Holds every certificate of the chain to what the verifiers of guests ask of a CA (RFC 5280 §4.2, §6.1.4).
 * @param chain issuing CA first
 * @param name of the file, for messages
 * @param nowMs wall clock, ms since the epoch
 * @returns warnings: what a part of the clients refuses
 * @throws CaError for what all of them refuse
 */
export function checkCertificates(chain: readonly X509Certificate[], name: string, nowMs: number): string[] {
  const warnings: string[] = [];
  chain.forEach((certificate, below) => {
    const where = `${name}: "${subjectOf(certificate)}"`;
    const one = { certificate, fields: readCertificateFields(certificate.raw) };
    refuseOutdated(one, where, nowMs);
    refuseNoCa(one, where, below);
    warnings.push(...strictWarnings(one, where));
  });
  const top = chain.at(-1);
  if (top !== undefined && !isRoot(top)) {
    warnings.push(`${name}: the chain ends in an intermediate, which many clients do not trust: append its root`);
  }
  return warnings;
}

interface CheckedCertificate {
  readonly certificate: X509Certificate;
  readonly fields: CertificateFields;
}

function refuseOutdated({ certificate }: CheckedCertificate, where: string, nowMs: number): void {
  if (nowMs > certificate.validToDate.getTime()) {
    const next = "renew it, or make a new CA (postern ca init --out DIR)";
    throw new CaError("ca_expired", `${where} expired on ${certificate.validToDate.toISOString()}`, next);
  }
  if (nowMs < certificate.validFromDate.getTime()) {
    const next = "set the clock of this machine, or wait";
    throw new CaError("ca_not_yet_valid", `${where} is valid from ${certificate.validFromDate.toISOString()} on`, next);
  }
}

/** @param below intermediates that stand between this certificate and a leaf */
function refuseNoCa({ certificate, fields }: CheckedCertificate, where: string, below: number): void {
  // RFC 5280 §4.1.2.6: a CA has a name, or no leaf could say who issued it.
  if (fields.basicConstraints?.ca !== true || subjectOf(certificate) === "") throw notACa(where);
  if (fields.keyUsage !== null && !fields.keyUsage.certSign) {
    const next = "have it issued anew with keyUsage keyCertSign";
    throw new CaError("ca_key_usage", `${where} may not sign certificates`, next);
  }
  if (!certificate.ca) throw notACa(where);
  const purposes: readonly string[] | undefined = certificate.keyUsage;
  if (purposes !== undefined && !purposes.some((purpose) => purpose === SERVER_AUTH || purpose === ANY_PURPOSE)) {
    const next = "have it issued anew with serverAuth in extendedKeyUsage, or without that extension";
    throw new CaError("ca_key_usage", `${where} may not issue for TLS servers`, next);
  }
  const { pathLength } = fields.basicConstraints;
  if (pathLength !== null && pathLength < below) {
    const next = `have it issued anew with pathlen:${below} or more, or sign with the CA above`;
    throw new CaError(
      "ca_path_length",
      `${where} allows ${pathLength} intermediates below it, there are ${below}`,
      next,
    );
  }
}

function notACa(where: string): CaError {
  const next = "name a certificate with a subject and basicConstraints CA:TRUE (postern ca init makes one)";
  return new CaError("ca_not_a_ca", `${where} is not a CA`, next);
}

// extendedKeyUsage, which X509Certificate calls keyUsage: RFC 5280 §4.2.1.12.
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const ANY_PURPOSE = "2.5.29.37.0";

function strictWarnings({ certificate, fields }: CheckedCertificate, where: string): string[] {
  const strict = "clients that check strictly (Python 3.13, X509_V_FLAG_X509_STRICT) refuse it: have it issued anew";
  const warnings: string[] = [];
  if (fields.keyIdentifier === null) warnings.push(`${where} has no subjectKeyIdentifier; ${strict}`);
  if (fields.basicConstraints?.critical !== true)
    warnings.push(`${where} has basicConstraints not critical; ${strict}`);
  if (fields.keyUsage === null) warnings.push(`${where} has no keyUsage; ${strict}`);
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = certificate.publicKey;
  if (type === "ed25519") warnings.push(`${where} has an Ed25519 key, which browsers refuse: use EC P-256 for those`);
  if (details?.namedCurve === "secp521r1") warnings.push(`${where} has a P-521 key, which Chromium refuses: use P-384`);
  if (/sha1|md5/i.test(certificate.signatureAlgorithm ?? "") && !isRoot(certificate)) {
    warnings.push(
      `${where} is signed with ${certificate.signatureAlgorithm}, which clients refuse: have it issued anew`,
    );
  }
  return warnings;
}
