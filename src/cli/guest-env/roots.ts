import { X509Certificate } from "node:crypto";
import { pemBlocks } from "../../tls/pem.ts";
import { CommandFailure, EXIT } from "../command.ts";

/** Where systems keep their roots as one PEM file, most common first. */
export const SYSTEM_ROOT_FILES: readonly string[] = [
  "/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Alpine, Arch
  "/etc/pki/tls/certs/ca-bundle.crt", // Fedora, RHEL
  "/etc/ssl/ca-bundle.pem", // openSUSE
  "/etc/ssl/cert.pem", // macOS, BSDs
];

/**
 * The certificates of a PEM text and nothing else: a key that stands in the same file must never reach a guest.
 * @param source names the text in errors
 * @throws CommandFailure when there is no certificate, or one that cannot be read
 */
export function certificatesOf(text: string, source: string): X509Certificate[] {
  const blocks = pemBlocks(text);
  if (blocks === null)
    throw new CommandFailure(
      `${source} is cut off in the middle of a PEM block: write the whole file again`,
      EXIT.usage,
    );
  const certificates = blocks.filter(({ label }) => /^(X509 |TRUSTED )?CERTIFICATE$/.test(label));
  if (certificates.length === 0)
    throw new CommandFailure(`${source} holds no certificate: name the PEM file of the CA`, EXIT.usage);
  return certificates.map(({ text: pem }, i) => {
    try {
      return new X509Certificate(pem);
    } catch {
      throw new CommandFailure(`certificate ${i + 1} of ${source} cannot be read: export it again as PEM`, EXIT.usage);
    }
  });
}

/** The system's roots and then the CA, each once. */
export function joinRoots(system: readonly X509Certificate[], ca: readonly X509Certificate[]): X509Certificate[] {
  const seen = new Set<string>();
  return [...system, ...ca].filter(({ fingerprint256 }) => {
    if (seen.has(fingerprint256)) return false;
    seen.add(fingerprint256);
    return true;
  });
}

/** PEM text, each certificate under the name of its subject, as an operator looks for it. */
export function toBundle(certificates: readonly X509Certificate[]): string {
  return certificates.map((certificate) => `# ${oneLine(certificate.subject)}\n${certificate.toString()}`).join("\n");
}

/** `\p{Cc}` covers line ends; other characters above ASCII upset readers that expect ASCII. */
function oneLine(subject: string): string {
  return subject.replaceAll(/\n/g, ", ").replaceAll(/[^\x20-\x7e]/g, "?");
}
