/**
 * The closed list of refusals. One name per refusal everywhere: the code is the `x-deny-reason` header, the metric label,
 * the audit field and the heading in docs/denials.md. `text` is all that a guest ever reads; the cause stays with operators.
 */
export type DenialStage = "listen" | "identify" | "permit" | "pin" | "lease" | "attach" | "send" | "relay" | "account";

export interface DenialEntry {
  /** The stage of the line that refuses. */
  readonly stage: DenialStage;
  /** HTTP status for the guest. */
  readonly status: number;
  /** RFC 9209 §2.3 proxy error type. */
  readonly proxyStatus: string;
  /** Fixed text for the guest: no value from the request, the upstream or the config is ever put into it. */
  readonly text: string;
}

const entry = (stage: DenialStage, status: number, proxyStatus: string, text: string): DenialEntry => ({
  stage,
  status,
  proxyStatus,
  text,
});

export const DENIALS = {
  request_malformed: entry("listen", 400, "http_request_error", "The request does not follow the HTTP grammar."),
  header_limit: entry("listen", 431, "http_request_error", "The request head is larger than the edge accepts."),
  request_timeout: entry("listen", 408, "http_request_error", "The request did not arrive in time."),
  connection_limit: entry("listen", 503, "connection_limit_reached", "The edge holds as many connections as it may."),
  guest_held_off: entry(
    "listen",
    429,
    "connection_limit_reached",
    "Too many connections of this guest were ended for floods: its tunnels have to wait.",
  ),
  http2_violation: entry("listen", 400, "http_request_error", "The connection breaks the rules of HTTP/2."),
  proxy_protocol_invalid: entry("listen", 400, "http_request_error", "The connection does not begin as agreed."),
  tls_handshake_failed: entry("listen", 400, "tls_protocol_error", "The TLS handshake with the edge failed."),
  upgrade_unsupported: entry("listen", 501, "http_request_error", "The edge forwards no upgrade of this kind."),
  expectation_unsupported: entry(
    "listen",
    417,
    "http_request_error",
    "The edge knows no expectation but 100-continue.",
  ),
  tunnel_unsupported: entry("listen", 501, "http_request_error", "The edge does not carry this protocol in a tunnel."),
  authority_mismatch: entry("listen", 421, "http_request_error", "The request names more than one authority."),
  sni_missing: entry("listen", 421, "http_request_error", "The TLS hello names no server."),
  sni_mismatch: entry("listen", 421, "http_request_error", "The TLS hello names another server than the tunnel."),
  ech_refused: entry("listen", 421, "http_request_error", "The TLS hello hides the server that it is meant for."),
  early_data_refused: entry(
    "listen",
    425,
    "http_request_error",
    "The TLS hello comes with data that could be replayed.",
  ),
  loop_detected: entry("listen", 502, "proxy_loop_detected", "The request leads back to the edge itself."),
  draining: entry("listen", 503, "proxy_internal_response", "The edge is shutting down."),
  session_missing: entry("identify", 407, "http_request_denied", "The request carries no session proof."),
  session_invalid: entry("identify", 407, "http_request_denied", "The session proof is not valid."),
  session_expired: entry("identify", 407, "http_request_denied", "The session has expired."),
  session_idle: entry("identify", 407, "http_request_denied", "The session was idle for too long."),
  session_revoked: entry("identify", 403, "http_request_denied", "The session was revoked."),
  kill_switch: entry("identify", 503, "proxy_internal_response", "All egress is stopped."),
  revocation_stale: entry("identify", 503, "proxy_internal_response", "The edge cannot tell what was revoked."),
  destination_not_allowed: entry("permit", 403, "http_request_denied", "No rule allows this destination."),
  method_not_allowed: entry("permit", 403, "http_request_denied", "No rule allows this method here."),
  path_not_allowed: entry("permit", 403, "http_request_denied", "No rule allows this path here."),
  query_not_allowed: entry("permit", 403, "http_request_denied", "No rule allows this query here."),
  header_not_allowed: entry("permit", 403, "http_request_denied", "No rule allows these headers here."),
  ambiguous_path: entry("permit", 400, "http_request_error", "The path can be read in more than one way."),
  policy_denied: entry("permit", 403, "http_request_denied", "The policy denies this request."),
  policy_unavailable: entry("permit", 503, "proxy_internal_response", "The policy cannot be asked."),
  obligation_unmet: entry("permit", 403, "http_request_denied", "The policy asks for what the edge cannot do."),
  rate_limited: entry("permit", 429, "http_request_denied", "Too many requests."),
  budget_exceeded: entry("permit", 429, "http_request_denied", "The budget of this session is used up."),
  name_unresolved: entry("pin", 502, "dns_error", "The name does not resolve."),
  address_denied: entry("pin", 502, "destination_ip_prohibited", "The name leads to an address that is not permitted."),
  custody_unavailable: entry("lease", 503, "proxy_internal_response", "The credential cannot be fetched."),
  approval_pending: entry(
    "lease",
    403,
    "http_request_denied",
    "An operator has to approve this first; try again later.",
  ),
  lease_denied: entry("lease", 403, "http_request_denied", "Custody refuses the credential."),
  lease_unusable: entry("lease", 502, "proxy_internal_response", "The credential cannot be used for this request."),
  placeholder_stray: entry(
    "attach",
    403,
    "http_request_denied",
    "A credential stand-in would leave the edge unreplaced.",
  ),
  body_too_large: entry(
    "attach",
    413,
    "http_request_error",
    "The body is too large for the credential of this request.",
  ),
  body_buffer_full: entry("attach", 503, "proxy_internal_response", "The edge holds as many request bodies as it may."),
  body_unfit: entry("attach", 400, "http_request_error", "The body is not one that the credential can be put into."),
  body_digest_mismatch: entry("attach", 400, "http_request_error", "The body is not the one that the request names."),
  signing_unsupported: entry("attach", 501, "http_request_error", "The edge does not sign requests of this kind."),
  guest_signed: entry("attach", 403, "http_request_denied", "The request is signed with a key that is not the edge's."),
  upstream_unreachable: entry("send", 502, "destination_unavailable", "The upstream cannot be reached."),
  upstream_timeout: entry("send", 504, "connection_timeout", "The upstream did not answer in time."),
  upstream_tls_invalid: entry("send", 502, "tls_certificate_error", "The upstream's TLS cannot be verified."),
  upstream_protocol: entry(
    "send",
    502,
    "http_protocol_error",
    "The upstream's answer does not follow the HTTP grammar.",
  ),
  response_leak: entry("relay", 502, "http_response_incomplete", "The answer carries what must not reach a guest."),
  encoding_unscannable: entry(
    "relay",
    502,
    "http_response_content_coding",
    "The answer's encoding cannot be inspected.",
  ),
  audit_unavailable: entry("account", 503, "proxy_internal_response", "The edge cannot write its audit record."),
  internal: entry("account", 500, "proxy_internal_error", "The edge failed."),
} as const satisfies Record<string, DenialEntry>;

export type DenialCode = keyof typeof DENIALS;

export const DENIAL_CODES = Object.keys(DENIALS) as readonly DenialCode[];

/**
 * A refusal. `code` is for everybody, `cause` for log and audit only; it never holds a secret. It is an outcome, not a fault: it
 * carries no stack of its own (which would cost more than deciding), only that of its cause.
 */
export class Denial extends Error {
  readonly code: DenialCode;
  /** Name of the destination that was found and whose rules refuse; `null` when that is not what was refused. */
  readonly destination: string | null;

  /**
   * @param options.cause what really happened, for operators
   * @param options.destination whose rules refuse, for the account
   */
  constructor(code: DenialCode, options?: { readonly cause?: unknown; readonly destination?: string }) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(code, options);
    Error.stackTraceLimit = stackTraceLimit;
    this.code = code;
    this.destination = options?.destination ?? null;
  }

  get entry(): DenialEntry {
    return DENIALS[this.code];
  }

  /** Any thrown value as a refusal: what is not one already is `internal`. Nothing fails open. */
  static from(thrown: unknown): Denial {
    return thrown instanceof Denial ? thrown : new Denial("internal", { cause: thrown });
  }

  /** The cause as one bounded line for log and audit, or `null`. */
  get detail(): string | null {
    if (this.cause === undefined) return null;
    const text =
      this.cause instanceof Error ? this.cause.message : typeof this.cause === "string" ? this.cause : "unknown";
    return text.length > 300 ? `${text.slice(0, 300)}...` : text;
  }
}

Object.defineProperty(Denial.prototype, "name", { value: "Denial" });
