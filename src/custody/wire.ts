import { z } from "zod";
import { LEASE_PURPOSES, type LeaseGrant, type LeaseRequest } from "../core/custody.ts";
import type { Material } from "../core/exchange.ts";
import { Secret } from "../core/secret.ts";

/**
 * What goes between edge and custody as JSON. Both sides parse strictly: an unknown key, a missing key or a value out of
 * bounds makes the whole message unreadable. `docs/custody.openapi.yaml` carries the same schemas, held equal by a test.
 */

/**
 * One line of visible text: no control characters, so that nothing can break a log line or a field apart;
 * no lone surrogates, which change on their way through UTF-8.
 */
const line = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}]*$/u);
/** Names of credentials and destinations. */
const name = line(128);
/** What may be put into a field value: visible ASCII and inner blanks (RFC 9110 §5.5 without obs-text). */
const fieldText = z
  .string()
  .min(1)
  .max(16_384)
  .regex(/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/);
const host = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[0-9a-z._:-]*$/);
const port = z.int().min(1).max(65_535);
/** Any integer is readable, so that an expired or oversized life is refused by name and not as unreadable. */
const ttlMs = z.int();

export const leaseRequestSchema = z
  .strictObject({
    session: z.strictObject({ id: line(256), tenant: line(128), workspace: line(128), subject: line(512) }),
    credential: name,
    host,
    port,
    destination: name,
    purpose: z.enum(LEASE_PURPOSES),
  })
  .meta({ id: "LeaseRequest" });

const grantBase = {
  lease_id: z
    .string()
    .min(1)
    .max(128)
    .regex(/^[\x21-\x7e]*$/),
  credential: name,
  ttl_ms: ttlMs,
  max_uses: z.int().min(1).optional(),
  scope: z.strictObject({ tenant: line(128), session: line(256), host, port }),
  resource_ref: z
    .string()
    .min(1)
    .max(128)
    .regex(/^[\x21-\x7e]*$/),
  binding: z.strictObject({ type: line(64), value: line(1024) }).optional(),
};

/** RFC 7617 §2: no control characters, and no colon in the user name. */
const username = line(1024).regex(/^[^:]*$/);

export const leaseGrantSchema = z
  .discriminatedUnion("kind", [
    z.strictObject({ ...grantBase, kind: z.literal("token"), material: z.strictObject({ token: fieldText }) }),
    z.strictObject({
      ...grantBase,
      kind: z.literal("userpass"),
      material: z.strictObject({ username, password: line(16_384) }),
    }),
    z.strictObject({ ...grantBase, kind: z.literal("header"), material: z.strictObject({ value: fieldText }) }),
  ])
  .meta({ id: "LeaseGrant" });

export const healthSchema = z.strictObject({ status: z.literal("ok") }).meta({ id: "Health" });

export type LeaseRequestJson = z.output<typeof leaseRequestSchema>;
export type LeaseGrantJson = z.output<typeof leaseGrantSchema>;

/** @returns the request, or `null` when it is not one */
export function decodeLeaseRequest(json: unknown): LeaseRequest | null {
  const parsed = leaseRequestSchema.safeParse(json);
  return parsed.success ? parsed.data : null;
}

/** @returns the body for the wire, or `null` when a value of the request is out of the wire's bounds */
export function encodeLeaseRequest(request: LeaseRequest): LeaseRequestJson | null {
  const { session, credential, host, port, destination, purpose } = request;
  const { id, tenant, workspace, subject } = session;
  const body = { session: { id, tenant, workspace, subject }, credential, host, port, destination, purpose };
  return leaseRequestSchema.safeParse(body).success ? body : null;
}

/** @returns the grant, or the place (a path of known keys, never a value) at which the JSON is not one */
export function decodeLeaseGrant(json: unknown): LeaseGrant | { readonly wrongAt: string } {
  const parsed = leaseGrantSchema.safeParse(json);
  if (!parsed.success) return { wrongAt: placeOf(parsed.error) };
  const grant = parsed.data;
  return {
    leaseId: grant.lease_id,
    credential: grant.credential,
    material: decodeMaterial(grant),
    ttlMs: grant.ttl_ms,
    maxUses: grant.max_uses ?? null,
    scope: grant.scope,
    resourceRef: grant.resource_ref,
    binding: grant.binding ?? null,
  };
}

/** The grant for the wire. The result holds the plain material: it is serialised at once and kept nowhere. */
export function encodeLeaseGrant(grant: LeaseGrant): LeaseGrantJson {
  const { tenant, session, host, port } = grant.scope;
  const base = {
    lease_id: grant.leaseId,
    credential: grant.credential,
    ttl_ms: grant.ttlMs,
    ...(grant.maxUses === null ? {} : { max_uses: grant.maxUses }),
    scope: { tenant, session, host, port },
    resource_ref: grant.resourceRef,
    ...(grant.binding === null ? {} : { binding: { type: grant.binding.type, value: grant.binding.value } }),
  };
  const { material } = grant;
  switch (material.kind) {
    case "token":
      return { ...base, kind: "token", material: { token: material.token.reveal() } };
    case "userpass":
      return {
        ...base,
        kind: "userpass",
        material: { username: material.username, password: material.password.reveal() },
      };
    case "header":
      return { ...base, kind: "header", material: { value: material.value.reveal() } };
  }
}

/** Whether material fits its wire form, which is what can go into a field. Custody checks a root before it issues it. */
export function materialFitsWire(material: Material): boolean {
  switch (material.kind) {
    case "token":
      return fieldText.safeParse(material.token.reveal()).success;
    case "userpass":
      return (
        username.safeParse(material.username).success && line(16_384).safeParse(material.password.reveal()).success
      );
    case "header":
      return fieldText.safeParse(material.value.reveal()).success;
  }
}

function decodeMaterial(grant: LeaseGrantJson): Material {
  switch (grant.kind) {
    case "token":
      return { kind: "token", token: Secret.of(grant.material.token) };
    case "userpass":
      return { kind: "userpass", username: grant.material.username, password: Secret.of(grant.material.password) };
    case "header":
      return { kind: "header", value: Secret.of(grant.material.value) };
  }
}

/** Path and kind of the first problem. Strict objects descend into known keys only, so a path never carries a value. */
function placeOf(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return "(root)";
  return `${issue.path.length === 0 ? "(root)" : issue.path.join(".")} (${issue.code})`;
}
