import { Denial } from "./denial.ts";

/** The lease ended while something was waited for, and nothing was sent: another one may serve the same exchange. */
export class LeaseGone extends Denial {
  /** @param cause where it ended, for operators */
  constructor(cause: string) {
    super("lease_unusable", { cause });
  }
}

/** The upstream refuses the client certificate, or demands one. TLS 1.3 tells it after the handshake: a request may be on its way. */
export class CertificateRefused extends Denial {
  /** @param cause the alert, for operators */
  constructor(cause: unknown) {
    super("upstream_tls_invalid", { cause });
  }
}
