import type { TLSSocket } from "node:tls";
import type { ClientCertificate } from "../core/wire.ts";

/**
 * What the guest's certificate says of it.
 * @returns `null` without one, and for one that does not chain to the listener's `client_ca`
 */
export function clientCertificateOf(socket: TLSSocket): ClientCertificate | null {
  // A resumed session without any certificate counts as authorized: both have to be there.
  const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
  if (certificate === undefined) return null;
  // Declared as text, and a list when the subject has several.
  const commonName: unknown = certificate.toLegacyObject().subject?.CN;
  return Object.freeze({
    sha256: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    commonName: typeof commonName === "string" ? commonName : null,
    altNames: Object.freeze(altNamesOf(certificate.subjectAltName)),
  });
}

/**
 * Node writes the names as one text, `DNS:a.test, URI:spiffe://b`. One that holds a comma or the like is written as a JSON
 * string with its commas escaped, so that no name can pass for two.
 */
export function altNamesOf(text: string | undefined): string[] {
  if (text === undefined || text === "") return [];
  return text.split(", ").map((name) => {
    const colon = name.indexOf(":");
    const value = name.slice(colon + 1);
    return value.startsWith('"') ? `${name.slice(0, colon)}:${JSON.parse(value) as string}` : name;
  });
}
