import { CertificateRefused } from "../core/lease-denials.ts";

/** Alerts of RFC 8446 §6.2 about the certificate of this side, as OpenSSL names them. */
const ABOUT_OURS = /_ALERT_(?:BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_[A-Z]+|UNKNOWN_CA|ACCESS_DENIED)$/;

/** @returns the denial for an error that says that the upstream refuses this side's certificate, or that there is none; else `null` */
export function certificateRefused(error: NodeJS.ErrnoException | null): CertificateRefused | null {
  return error !== null && ABOUT_OURS.test(error.code ?? "") ? new CertificateRefused(error) : null;
}
