import type { KeyObject, X509Certificate } from "node:crypto";
import { CaError } from "./ca-error.ts";
import type { CaPem } from "./certificate-authority.ts";

/**
 * Orders what the certificate file holds: the certificate of the key first, then each one's issuer, up to the root if it
 * is there. The order in the file does not matter; what does not link does.
 * @throws CaError `ca_key_mismatch`, `ca_chain_broken`
 */
export function orderChain(certificates: readonly X509Certificate[], key: KeyObject, pem: CaPem): X509Certificate[] {
  const rest = new Map(certificates.map((certificate) => [certificate.fingerprint256, certificate]));
  const issuing = certificates.find((certificate) => certificate.checkPrivateKey(key));
  if (issuing === undefined) {
    throw new CaError(
      "ca_key_mismatch",
      `${pem.keyName}: it is not the key of any certificate in ${pem.certificateName}`,
      "name the key and the certificate of the same CA",
    );
  }
  const chain: X509Certificate[] = [];
  for (let top: X509Certificate | undefined = issuing; top !== undefined;) {
    const current: X509Certificate = top;
    rest.delete(current.fingerprint256);
    chain.push(current);
    top = isRoot(current) ? undefined : [...rest.values()].find((candidate) => issued(candidate, current));
  }
  const [stray] = rest.values();
  if (stray !== undefined) {
    throw new CaError(
      "ca_chain_broken",
      `${pem.certificateName}: "${subjectOf(stray)}" is not in the chain of "${subjectOf(issuing)}"`,
      "add the intermediate that is missing between them, or take it out",
    );
  }
  return chain;
}

/** Whether it names itself as its issuer and its own key verifies it. */
export function isRoot(certificate: X509Certificate): boolean {
  return certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey);
}

function issued(issuer: X509Certificate, subject: X509Certificate): boolean {
  return subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

/** Subject as one line for people. */
export function subjectOf(certificate: X509Certificate): string {
  // Undefined, whatever the types say, when the Name is empty.
  const subject: string | undefined = certificate.subject;
  return subject === undefined ? "" : subject.replaceAll("\n", ", ");
}
