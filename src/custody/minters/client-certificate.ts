import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { Secret } from "../../core/secret.ts";
import { SourceError, type SourceReading } from "../sources/source.ts";
import type { Minted } from "./minter.ts";
import { endOnMonotonic, sooner } from "../latest-wall.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
const PRIVATE_KEY = /-----BEGIN (?:RSA |EC )?PRIVATE KEY-----[A-Za-z0-9+/=\s]+-----END (?:RSA |EC )?PRIVATE KEY-----/g;

/**
 * A client certificate from a root: PEM (RFC 7468) of the leaf, its intermediates and one private key, in one text. It is good as
 * long as the leaf is.
 * @throws SourceError; its text holds nothing of the root
 */
export function clientCertificate(name: string, { secret, expiresAtMs }: SourceReading, clock: Clock): Minted {
  const text = secret.reveal().replaceAll("\r\n", "\n");
  const certificates = text.match(CERTIFICATE) ?? [];
  const [key, ...more] = text.match(PRIVATE_KEY) ?? [];
  const [leaf] = certificates;
  if (leaf === undefined || key === undefined || more.length > 0)
    throw unfit(
      name,
      "yields no certificate with its key: let it yield PEM of the leaf, its intermediates and one unencrypted key",
    );
  const endMs = endOnMonotonic(clock, endOf(name, leaf, key));
  secret.zero();
  return {
    material: { kind: "client_certificate", chain: `${certificates.join("\n")}\n`, key: Secret.of(`${key}\n`) },
    expiresAtMs: sooner(endMs, expiresAtMs),
    release: null,
  };
}

/** @returns wall clock, ms, at which the leaf ends */
function endOf(name: string, leaf: string, key: string): number {
  const { certificate, isItsKey } = parsed(leaf, key) ?? {};
  if (certificate === undefined) throw unfit(name, "yields PEM that cannot be read: check it with `openssl x509`");
  if (isItsKey !== true)
    throw unfit(name, "yields a key that is not the one of the first certificate: put the leaf first");
  return Date.parse(certificate.validTo);
}

function parsed(leaf: string, key: string): { certificate: X509Certificate; isItsKey: boolean } | null {
  try {
    const certificate = new X509Certificate(leaf);
    return { certificate, isItsKey: certificate.checkPrivateKey(createPrivateKey(key)) };
  } catch {
    // OpenSSL's text says nothing that an operator could use.
    return null;
  }
}

function unfit(name: string, what: string): SourceError {
  return new SourceError(`credential "${name}": the source ${what}`);
}
