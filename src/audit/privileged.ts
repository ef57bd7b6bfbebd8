import { isoTime, MAX_TEXT, quoted } from "../core/record-json.ts";
import type { IssueAudit, IssueEvent, OperatorEvent } from "../core/custody.ts";
import { narrowKey } from "../core/narrow.ts";

/**
 * An event that must be on disk before it takes effect or is answered: lease issue, policy reload, start, stop, kill.
 * Holds no secret; strings are bounded when they are written.
 */
export interface PrivilegedEvent {
  readonly type: PrivilegedType;
  /** Flat facts; names in snake_case, in the order in which they are written. */
  readonly facts: Readonly<Record<string, string | number | boolean | null>>;
}

export const PRIVILEGED_TYPES = [
  "edge_started",
  "edge_stopping",
  "custody_started",
  "custody_stopping",
  "policy_loaded",
  "policy_rejected",
  "catalogue_loaded",
  "catalogue_rejected",
  "lease_issued",
  "lease_refused",
  "lease_renewed",
  "lease_released",
  "lease_revoked",
  "session_revoked",
  "kill_engaged",
  "kill_released",
  "revocation_made",
  "revocation_lifted",
  "approval_granted",
  "approval_denied",
] as const;
export type PrivilegedType = (typeof PRIVILEGED_TYPES)[number];

const NAME = /^[a-z][a-z0-9_]{0,39}$/;
/** Members that the frame of a line holds itself. */
const RESERVED = new Set(["seq", "prev", "type", "hash", "time"]);

/** @throws TypeError for a fact whose name or value cannot be written; a mistake of the caller, found by its tests */
export function privilegedMembers(event: PrivilegedEvent, wallMs: number): string {
  let out = `"time":"${isoTime(wallMs)}"`;
  for (const [name, value] of Object.entries(event.facts)) {
    if (!NAME.test(name) || RESERVED.has(name)) throw new TypeError(`audit: no fact may be named ${quoted(name)}`);
    out += `,"${name}":${rendered(name, value)}`;
  }
  return out;
}

function rendered(name: string, value: string | number | boolean | null): string {
  if (typeof value !== "string") {
    if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`audit: ${name} is not a number`);
    return String(value);
  }
  if (value.length <= MAX_TEXT) return quoted(value);
  return `${quoted(value.slice(0, MAX_TEXT))},"${name}_cut":${value.length}`;
}

/** What `issueAudit` writes to. */
export interface PrivilegedSink {
  sessionMark(tenant: string, session: string): string;
  privileged(event: PrivilegedEvent): Promise<void>;
}

/** Custody's port on this trail: a lease is answered only after its record is durable. */
export function issueAudit(trail: PrivilegedSink): IssueAudit {
  return {
    record: (event) => trail.privileged({ type: event.type, facts: issueFacts(trail, event) }),
    operated: (event) => trail.privileged({ type: event.type, facts: operatorFacts(trail, event) }),
  };
}

function operatorFacts(trail: PrivilegedSink, { caller, session, facts }: OperatorEvent): PrivilegedEvent["facts"] {
  return {
    caller,
    ...(session === null ? {} : { session: trail.sessionMark(session.tenant, session.id) }),
    ...facts,
  };
}

function issueFacts(trail: PrivilegedSink, event: IssueEvent): PrivilegedEvent["facts"] {
  return {
    at: isoTime(event.wallMs),
    caller: event.caller,
    tenant: event.tenant,
    session: trail.sessionMark(event.tenant, event.session),
    subject: event.subject,
    credential: event.credential,
    destination: event.destination,
    host: event.host,
    port: event.port,
    purpose: event.purpose,
    ...(event.narrow === undefined ? {} : { narrow: narrowKey(event.narrow) }),
    ...(event.leaseId === "" ? {} : { lease: event.leaseId, ttl_ms: event.ttlMs }),
    ...(event.resourceRef === "" ? {} : { resource_ref: event.resourceRef }),
    ...(event.reason === null ? {} : { reason: event.reason }),
  };
}
