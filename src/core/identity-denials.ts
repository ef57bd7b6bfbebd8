import { Denial } from "./denial.ts";

/** The lease behind a client certificate died, or was replaced, while a connection was waited for: nothing was sent. */
export class IdentityGone extends Denial {
  constructor() {
    super("lease_unusable", { cause: "the lease of the client certificate ended while a connection was waited for" });
  }
}

/** The upstream refuses the client certificate, or demands one. TLS 1.3 tells it after the handshake: a request may be on its way. */
export class CertificateRefused extends Denial {
  /** @param cause the alert, for operators */
  constructor(cause: unknown) {
    super("upstream_tls_invalid", { cause });
  }
}
