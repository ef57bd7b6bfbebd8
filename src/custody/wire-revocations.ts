import { z } from "zod";
import { METHOD_CLASSES } from "../core/method-class.ts";
import {
  REVOCATION_SCOPES,
  type RevocationChange,
  type RevocationPage,
  type RevocationTarget,
} from "../core/revocation.ts";
import type { Approval } from "./approvals.ts";
import type { LedgerLease } from "./ledger.ts";
import type { Revocation } from "./revocation-record.ts";
import { narrowJson } from "./wire.ts";
import { host, line, name, narrowSchema, port, printable, sessionId, tenant, WIRE_SCHEMAS } from "./wire-schema.ts";

/** What goes over the wire about revocations, approvals and the leases that are out; strict, as all of it. */

const MOST_VALUE_CHARS = 256;

const scope = z.enum(REVOCATION_SCOPES);

const target = {
  scope,
  value: line(MOST_VALUE_CHARS)
    .optional()
    .describe("Id of the lease or session, name of the credential or tenant; left out with `all`."),
  tenant: tenant.optional().describe("With `session`: whose it is; left out: sessions of this id of every tenant."),
};

export const revocationRequestSchema = z
  .strictObject({ ...target, reason: line(200).describe("For the record.") })
  .register(WIRE_SCHEMAS, { id: "RevocationRequest" });

const revocation = {
  id: printable,
  ...target,
  reason: line(200),
  by: line(256).describe("Who revoked, as the transport proved it."),
  made_at: z.iso.datetime(),
  left_ms: z.int().optional().describe("How long it is in force yet; absent: until it is lifted."),
};

export const revocationSchema = z.strictObject(revocation).register(WIRE_SCHEMAS, { id: "Revocation" });

export const revocationMadeSchema = z
  .strictObject({ ...revocation, leases_ended: z.int().min(0).describe("Leases that it ended.") })
  .register(WIRE_SCHEMAS, { id: "RevocationMade" });

export const revocationListSchema = z
  .strictObject({ total: z.int().min(0), revocations: z.array(revocationSchema) })
  .register(WIRE_SCHEMAS, { id: "RevocationList" });

const changeSchema = z.strictObject({ type: z.enum(["revoked", "lifted"]), id: printable, ...target });

/** `epoch.sequence`, but any text of this kind is readable: of an unknown one nothing is known, and that is told. */
export const cursor = printable.max(64);

export const revocationPageSchema = z
  .strictObject({
    cursor: cursor.describe("What to ask with next."),
    reset: z.boolean().describe("Nothing is known since the cursor: drop every lease of this custody."),
    changes: z.array(changeSchema).max(1_000).describe("Oldest first."),
  })
  .register(WIRE_SCHEMAS, { id: "RevocationPage" });

const approvalSchema = z
  .strictObject({
    id: printable,
    state: z.enum(["pending", "approved", "denied"]),
    edge: line(256).describe("Who asked."),
    tenant,
    session: sessionId,
    workspace: line(128),
    subject: line(512),
    credential: name,
    destination: name,
    host,
    port,
    method_class: z.enum(METHOD_CLASSES),
    narrow: narrowSchema.optional().describe("What the lease is narrowed to; absent: as wide as the entry."),
    left_ms: z.int().min(0),
  })
  .register(WIRE_SCHEMAS, { id: "Approval" });

export const approvalListSchema = z
  .strictObject({ approvals: z.array(approvalSchema) })
  .register(WIRE_SCHEMAS, { id: "ApprovalList" });

const liveLeaseSchema = z
  .strictObject({
    lease_id: printable,
    edge: line(256),
    tenant,
    session: sessionId,
    subject: line(512),
    credential: name,
    destination: name,
    host,
    port,
    method_class: z.enum(METHOD_CLASSES).optional(),
    left_ms: z.int().min(0),
  })
  .register(WIRE_SCHEMAS, { id: "LiveLease" });

export const liveLeaseListSchema = z
  .strictObject({
    total: z.int().min(0).describe("Leases that fit, however many are listed."),
    leases: z.array(liveLeaseSchema),
  })
  .register(WIRE_SCHEMAS, { id: "LiveLeaseList" });

/** @returns what is to be revoked and why, or `null` when it says too much or too little for its scope */
export function decodeRevocationRequest(json: unknown): { target: RevocationTarget; reason: string } | null {
  const parsed = revocationRequestSchema.safeParse(json);
  if (!parsed.success) return null;
  const { reason, ...given } = parsed.data;
  const found = targetOf(given);
  return found === null ? null : { target: found, reason };
}

/** `all` has no value, the others one; a tenant goes with a session alone. */
export function targetOf(given: {
  readonly scope: RevocationTarget["scope"];
  readonly value?: string | undefined;
  readonly tenant?: string | undefined;
}): RevocationTarget | null {
  const { scope, value = "", tenant = null } = given;
  if ((scope === "all") !== (value === "") || (tenant !== null && scope !== "session")) return null;
  return { scope, value, tenant };
}

export function encodeRevocation(made: Revocation, leftMs: number | null): z.input<typeof revocationSchema> {
  return {
    id: made.id,
    ...encodeTarget(made),
    reason: made.reason,
    by: made.by,
    made_at: new Date(made.madeAtMs).toISOString(),
    ...(leftMs === null ? {} : { left_ms: Math.max(0, Math.ceil(leftMs)) }),
  };
}

export function encodePage({ cursor, reset, changes }: RevocationPage): z.input<typeof revocationPageSchema> {
  return { cursor, reset, changes: changes.map(({ type, id, ...target }) => ({ type, id, ...encodeTarget(target) })) };
}

/** @returns the page, or `null` when the JSON is none */
export function decodePage(json: unknown): RevocationPage | null {
  const parsed = revocationPageSchema.safeParse(json);
  if (!parsed.success) return null;
  const changes: RevocationChange[] = [];
  for (const { type, id, ...given } of parsed.data.changes) {
    const found = targetOf(given);
    if (found === null) return null;
    changes.push({ type, id, ...found });
  }
  return { ...parsed.data, changes };
}

export function encodeApproval(
  { id, state, caller: edge, endsMs, methodClass, ...approval }: Approval,
  nowMs: number,
): z.input<typeof approvalSchema> {
  const { tenant, session, workspace, subject, credential, destination, host, port, narrow } = approval;
  const who = { edge, tenant, session, workspace, subject, credential, destination, host, port };
  const what = { method_class: methodClass, ...(narrow === undefined ? {} : { narrow: narrowJson(narrow) }) };
  return { id, state, ...who, ...what, left_ms: Math.max(0, Math.ceil(endsMs - nowMs)) };
}

export function encodeLiveLease(lease: LedgerLease, leftMs: number): z.input<typeof liveLeaseSchema> {
  const { destination, host, port, methodClass } = lease.place;
  return {
    lease_id: lease.id,
    edge: lease.caller,
    tenant: lease.session.tenant.name,
    session: lease.session.id,
    subject: lease.subject,
    credential: lease.credential.name,
    destination,
    host,
    port,
    ...(methodClass === null ? {} : { method_class: methodClass }),
    left_ms: leftMs,
  };
}

function encodeTarget({ scope, value, tenant }: RevocationTarget) {
  return { scope, ...(value === "" ? {} : { value }), ...(tenant === null ? {} : { tenant }) };
}
