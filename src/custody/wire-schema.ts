import { z } from "zod";
import { METHOD_CLASSES } from "../core/method-class.ts";
import { LEASE_PURPOSES, LEASE_REFUSALS, type LeaseRefusalReason } from "../core/custody.ts";
import {
  MOST_NARROW_CHARS,
  MOST_NARROW_NAMES,
  MOST_NARROW_VALUES,
  NARROW_NAME,
  narrowingChars,
} from "../core/narrow.ts";
import {
  FIELD_TEXT,
  KEY_ID,
  KEY_TEXT,
  MOST_CHAIN_CHARS,
  MOST_FIELD_CHARS,
  MOST_KEY_CHARS,
  MOST_KEY_ID_CHARS,
  MOST_PASSWORD_CHARS,
  MOST_USERNAME_CHARS,
  NO_COLON,
  VISIBLE_LINE,
} from "./material-text.ts";

/**
 * What goes between edge and custody as JSON. Both sides parse strictly: an unknown key, a missing key or a value out of
 * bounds makes the whole message unreadable. `docs/custody.openapi.yaml` is made of these schemas (`openapi.ts`).
 */
export const WIRE_SCHEMAS = z.registry<{ readonly id: string; readonly description?: string }>();

/** One line of visible text, so that nothing can break a log line or a field apart. */
export const line = (max: number) => z.string().min(1).max(max).regex(VISIBLE_LINE);

const fieldText = z.string().min(1).max(MOST_FIELD_CHARS).regex(FIELD_TEXT);
const username = line(MOST_USERNAME_CHARS).regex(NO_COLON);
const password = line(MOST_PASSWORD_CHARS);

export const printable = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[\x21-\x7e]*$/);
export const name = line(128);
export const tenant = line(128);
export const sessionId = line(256);
export const host = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[0-9a-z._:-]*$/);
export const port = z.int().min(1).max(65_535);

const sessionSchema = z
  .strictObject({ id: sessionId, tenant, workspace: line(128), subject: line(512) })
  .register(WIRE_SCHEMAS, { id: "Session", description: "The session as the edge proved it." });

const scopeSchema = z.strictObject({ tenant, session: sessionId, host, port }).register(WIRE_SCHEMAS, {
  id: "Scope",
  description: "The one place that the lease may be used in. The edge refuses any difference from what it asked for.",
});

const bindingSchema = z.strictObject({ type: line(64), value: line(1024) }).register(WIRE_SCHEMAS, {
  id: "Binding",
  description: "What else the lease is bound to. An edge that does not know the type refuses the lease.",
});

/** Request header: how long the caller waits for the answer, whole `ms`. */
export const WAIT_HEADER = "postern-wait-ms";

/** @returns the wait in `ms`, or `null` when the header is absent or no whole number from 1 to 60000 */
export function waitOf(value: string | readonly string[] | undefined): number | null {
  if (typeof value !== "string" || !/^[1-9][0-9]{0,4}$/.test(value)) return null;
  return Math.min(Number(value), 60_000);
}

export const narrowSchema = z
  .record(z.string().regex(NARROW_NAME), z.array(line(512)).min(1).max(MOST_NARROW_VALUES))
  .refine((narrow) => Object.keys(narrow).length <= MOST_NARROW_NAMES && narrowingChars(narrow) <= MOST_NARROW_CHARS)
  .register(WIRE_SCHEMAS, {
    id: "Narrowing",
    description:
      "What the lease is narrowed to, within the entry's own lists: `scopes`, `repositories` and so on. Anything outside of them is refused.",
  });

export const leaseRequestSchema = z
  .strictObject({
    session: sessionSchema,
    credential: name.describe("Name in the custody's catalogue."),
    host: host.describe("Canonical host: lower-case name, dotted IPv4, or RFC 5952 IPv6 without brackets."),
    port,
    destination: name.describe("Name of the edge's destination, for the record."),
    purpose: z
      .enum(LEASE_PURPOSES)
      .describe(
        "`ahead`: no exchange waits yet. `rejected`: the upstream answered 401 to the last lease; nothing that is cached will do.",
      ),
    method_class: z
      .enum(METHOD_CLASSES)
      .describe("Of the exchange that asks: `read` is GET, HEAD and OPTIONS. Looked at where an approval is required."),
    narrow: narrowSchema.optional(),
  })
  .register(WIRE_SCHEMAS, { id: "LeaseRequest" });

const grantBase = {
  lease_id: printable,
  credential: name.describe("The credential that was asked for."),
  // Any integer is readable, so that an expired or oversized life is refused by name and not as unreadable.
  ttl_ms: z.int().describe("Life from the moment of the answer, ms; the edge refuses what is not in 1 to 900000."),
  max_uses: z.int().min(1).optional().describe("How many exchanges it may serve; absent: no such bound."),
  scope: scopeSchema,
  resource_ref: printable.describe("HMAC of the canonical reference of the root: what logs and audit show."),
  binding: bindingSchema.optional(),
};

const tokenGrantSchema = z
  .strictObject({ ...grantBase, kind: z.literal("token"), material: z.strictObject({ token: fieldText }) })
  .register(WIRE_SCHEMAS, { id: "TokenGrant" });

const userpassGrantSchema = z
  .strictObject({ ...grantBase, kind: z.literal("userpass"), material: z.strictObject({ username, password }) })
  .register(WIRE_SCHEMAS, { id: "UserpassGrant" });

const headerGrantSchema = z
  .strictObject({ ...grantBase, kind: z.literal("header"), material: z.strictObject({ value: fieldText }) })
  .register(WIRE_SCHEMAS, { id: "HeaderGrant" });

const keyText = z.string().min(1).max(MOST_KEY_CHARS).regex(KEY_TEXT);
const keyId = z.string().min(1).max(MOST_KEY_ID_CHARS).regex(KEY_ID);

const awsGrantSchema = z
  .strictObject({
    ...grantBase,
    kind: z.literal("aws"),
    material: z.strictObject({
      access_key_id: keyId,
      secret_access_key: fieldText,
      session_token: fieldText.optional().describe("Comes with temporary keys."),
    }),
  })
  .register(WIRE_SCHEMAS, { id: "AwsGrant", description: "Keys that AWS Signature Version 4 is made with." });

const signingKeyGrantSchema = z
  .strictObject({
    ...grantBase,
    kind: z.literal("signing_key"),
    material: z.strictObject({ key_id: keyId.optional(), key: keyText.describe("PEM, or the text of a shared key.") }),
  })
  .register(WIRE_SCHEMAS, { id: "SigningKeyGrant" });

const clientCertificateGrantSchema = z
  .strictObject({
    ...grantBase,
    kind: z.literal("client_certificate"),
    material: z.strictObject({
      chain: z.string().min(1).max(MOST_CHAIN_CHARS).regex(KEY_TEXT).describe("PEM, leaf first."),
      key: keyText.describe("PEM."),
    }),
  })
  .register(WIRE_SCHEMAS, { id: "ClientCertificateGrant" });

const dpopGrantSchema = z
  .strictObject({
    ...grantBase,
    kind: z.literal("dpop"),
    material: z.strictObject({
      token: fieldText,
      public_jwk: z.string().min(1).max(MOST_KEY_ID_CHARS).regex(FIELD_TEXT).describe("JSON text of the public JWK."),
      key: keyText.optional().describe("PEM of the private key; absent: custody keeps it and signs."),
    }),
  })
  .register(WIRE_SCHEMAS, { id: "DpopGrant", description: "An access token bound to a key (RFC 9449)." });

export const leaseGrantSchema = z
  .discriminatedUnion("kind", [
    tokenGrantSchema,
    userpassGrantSchema,
    headerGrantSchema,
    awsGrantSchema,
    signingKeyGrantSchema,
    clientCertificateGrantSchema,
    dpopGrantSchema,
  ])
  .register(WIRE_SCHEMAS, { id: "LeaseGrant", description: "One scoped, short lease. Never to be stored." });

export const leaseHolderSchema = z.strictObject({ session: sessionId, tenant }).register(WIRE_SCHEMAS, {
  id: "LeaseHolder",
  description: "Whose lease it is: refused where the lease says otherwise.",
});

export const renewalSchema = z
  .strictObject({ lease_id: printable, ttl_ms: z.int().describe("Life from the moment of the answer, ms.") })
  .register(WIRE_SCHEMAS, { id: "Renewal", description: "The same lease, the same material, a longer life." });

export const releasedSchema = z
  .strictObject({ lease_id: printable })
  .register(WIRE_SCHEMAS, { id: "Released", description: "The lease is over." });

export const MOST_DETAIL_CHARS = 400;

export const healthSchema = z
  .strictObject({
    status: z
      .enum(["ok", "degraded"])
      .describe("`degraded`: the last reload was rejected, the catalogue before it serves."),
    catalogue: printable
      .optional()
      .describe(
        "Version of the catalogue in force. An edge that sees another one asks anew for the leases that it holds.",
      ),
    detail: line(MOST_DETAIL_CHARS).optional().describe("Why it is degraded, for operators."),
  })
  .register(WIRE_SCHEMAS, { id: "Health" });

export const problemSchema = z
  .strictObject({
    type: z.literal("about:blank"),
    title: line(200),
    status: z.int().min(400).max(599),
    code: z
      .enum(["lease_denied", "approval_pending", "custody_unavailable"])
      .describe("What the guest is told by the edge."),
    reason: z.enum(Object.keys(LEASE_REFUSALS) as [LeaseRefusalReason, ...LeaseRefusalReason[]]),
  })
  .register(WIRE_SCHEMAS, { id: "Problem", description: "RFC 9457 problem details with the reason as a closed word." });

export type LeaseRequestJson = z.output<typeof leaseRequestSchema>;
export type LeaseGrantJson = z.output<typeof leaseGrantSchema>;
export type HealthJson = z.output<typeof healthSchema>;
export type ProblemJson = z.output<typeof problemSchema>;
