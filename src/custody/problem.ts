import { LEASE_REFUSALS, LeaseRefusal, type LeaseRefusalReason } from "../core/custody.ts";
import { type ProblemJson, problemSchema } from "./wire-schema.ts";

interface ProblemEntry {
  readonly status: number;
  readonly title: string;
}

/**
 * How custody says no on the wire: RFC 9457 problem details with the reason as a closed word. Text is fixed per reason; what
 * really happened stays in custody's own log.
 */
export const PROBLEMS: Record<LeaseRefusalReason, ProblemEntry> = {
  request_malformed: { status: 400, title: "The request does not follow the lease schema." },
  caller_not_allowed: { status: 403, title: "This caller may not ask for this." },
  session_unknown: { status: 403, title: "The session is not known." },
  session_revoked: { status: 403, title: "The session was revoked." },
  tenant_revoked: { status: 403, title: "The tenant was revoked." },
  credential_revoked: { status: 403, title: "The credential was revoked." },
  custody_revoked: { status: 403, title: "Everything was revoked." },
  credential_unknown: { status: 403, title: "No credential of this name." },
  tenant_not_allowed: { status: 403, title: "The credential is not for this tenant." },
  scope_not_allowed: { status: 403, title: "The credential is not for this host and port." },
  lease_unknown: { status: 404, title: "This caller holds no lease of this id." },
  lease_expired: { status: 410, title: "The lease has expired." },
  lease_revoked: { status: 403, title: "The lease was revoked." },
  lease_at_its_end: { status: 403, title: "The lease cannot live longer." },
  session_mismatch: { status: 403, title: "The lease is of another session." },
  approval_pending: { status: 403, title: "An operator has to approve this first." },
  approval_denied: { status: 403, title: "An operator has denied this." },
  nothing_of_this_id: { status: 404, title: "There is nothing of this id, or it is over." },
  source_unavailable: { status: 503, title: "The source of the credential gives none." },
  audit_unavailable: { status: 503, title: "This cannot be recorded." },
  state_unavailable: { status: 503, title: "What is revoked cannot be written down." },
  input_unfit: { status: 422, title: "The input is no proof of this lease." },
  overloaded: { status: 429, title: "Too many requests." },
  draining: { status: 503, title: "Custody is shutting down." },
};

export const PROBLEM_TYPE = "application/problem+json";

/** The body and status for a refusal. */
export function encodeProblem(reason: LeaseRefusalReason): ProblemJson {
  const { status, title } = PROBLEMS[reason];
  return { type: "about:blank", title, status, code: LEASE_REFUSALS[reason], reason };
}

/** @returns the refusal that an answer stands for, or `null` when it is none: then nothing is known about custody */
export function decodeProblem(status: number, json: unknown): LeaseRefusal | null {
  const parsed = problemSchema.safeParse(json);
  if (!parsed.success || parsed.data.status !== status) return null;
  const { reason, code } = parsed.data;
  return LEASE_REFUSALS[reason] === code && PROBLEMS[reason].status === status ? new LeaseRefusal(reason) : null;
}
