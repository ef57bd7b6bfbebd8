import { dump } from "js-yaml";
import { z } from "zod";
import { LEASE_REFUSALS, type LeaseRefusalReason } from "../core/custody.ts";
import { REVOCATION_SCOPES } from "../core/revocation.ts";
import { PROBLEM_TYPE, PROBLEMS } from "./problem.ts";
import "./sign-wire.ts";
import "./wire-revocations.ts";
import { WAIT_HEADER, WIRE_SCHEMAS } from "./wire-schema.ts";

const HEAD =
  "# Written by `postern schema --write` from src/custody/wire-schema.ts and openapi.ts; do not edit it here.\n";

/** docs/custody.openapi.yaml: the wire as both sides parse it. */
export function openapiText(): string {
  return `${HEAD}${dump(openapiDocument(), { lineWidth: 120, noRefs: true })}`;
}

function openapiDocument(): Record<string, unknown> {
  return {
    openapi: "3.1.0",
    info: { title: "Postern custody", version: "1", description: DESCRIPTION },
    servers: [{ url: "https://custody.internal:8443", description: "Or HTTP on a unix socket." }],
    security: [{ mutualTls: [] }],
    paths: { ...leasePaths(), ...operatorPaths() },
    components: {
      securitySchemes: {
        mutualTls: {
          type: "mutualTLS",
          description:
            "The caller is the name in its client certificate; on a unix socket, whoever the file mode lets in.",
        },
      },
      schemas: componentSchemas(),
    },
  };
}

function leasePaths(): Record<string, unknown> {
  const wait = {
    name: WAIT_HEADER,
    in: "header",
    description: "How long the caller waits, ms: a slower source is then refused by name instead of not at all.",
    schema: { type: "integer", minimum: 1, maximum: 60_000 },
  };
  const held: readonly LeaseRefusalReason[] = [
    ...ALWAYS,
    "request_malformed",
    "lease_unknown",
    "lease_expired",
    "lease_revoked",
    "session_mismatch",
    "session_revoked",
    "tenant_revoked",
    "credential_revoked",
    "custody_revoked",
    "audit_unavailable",
  ];
  const renewal: readonly LeaseRefusalReason[] = [
    ...held,
    "lease_at_its_end",
    "approval_pending",
    "credential_unknown",
    "tenant_not_allowed",
    "scope_not_allowed",
  ];
  return {
    "/v1/leases": {
      post: operation("lease", "Ask for one lease", {
        parameters: [wait],
        body: "LeaseRequest",
        answer: ["LeaseGrant", "The lease; its issue is on durable record."],
        refused: Object.keys(PROBLEMS).filter((reason) => !OF_OTHERS.has(reason)) as LeaseRefusalReason[],
      }),
      get: operation("leases", "List leases that are out (operators)", {
        parameters: [
          inQuery("scope", { enum: REVOCATION_SCOPES, default: "all" }, "Which leases, as a revocation names them."),
          inQuery("value", { type: "string" }, "As in a revocation."),
          inQuery("tenant", { type: "string" }, "As in a revocation."),
          inQuery("limit", { type: "integer", minimum: 1, maximum: 1_000, default: 100 }, "How many are listed."),
        ],
        answer: ["LiveLeaseList", "No material is ever told."],
        refused: [...ALWAYS, "request_malformed"],
      }),
    },
    "/v1/leases/{id}/renew": {
      post: operation("renew", "Prolong a lease, up to 15 minutes from its issue in all", {
        parameters: [inPath("id", "Of the lease.")],
        body: "LeaseHolder",
        answer: ["Renewal", "The renewal is on durable record."],
        refused: renewal,
      }),
    },
    "/v1/leases/{id}/release": {
      post: operation("release", "End a lease before its time", {
        parameters: [inPath("id", "Of the lease.")],
        body: "LeaseHolder",
        answer: ["Released", "It is over, and what was minted for it is being given back."],
        refused: held,
      }),
    },
    "/v1/leases/{id}/sign": {
      post: operation("sign", "Have the key of a lease that custody keeps sign a DPoP proof", {
        parameters: [inPath("id", "Of the lease.")],
        body: "SignRequest",
        answer: ["Signature", "The signature."],
        refused: [...ALWAYS, "request_malformed", "lease_unknown", "input_unfit"],
      }),
    },
    "/v1/revocations/feed": {
      get: operation("revocationFeed", "What was revoked and lifted since a cursor", {
        parameters: [
          inQuery("after", { type: "string" }, "Cursor of the page before; left out: where the feed is now."),
          inQuery(
            "wait_ms",
            { type: "integer", minimum: 0, maximum: 30_000, default: 0 },
            "How long to wait for news.",
          ),
        ],
        answer: ["RevocationPage", "At most 32 changes; ask again with its cursor."],
        refused: [...ALWAYS, "request_malformed"],
      }),
    },
    "/v1/health": {
      get: operation("health", "Whether custody answers", { answer: ["Health", "It does."], refused: ALWAYS }),
    },
  };
}

function operatorPaths(): Record<string, unknown> {
  const changes: readonly LeaseRefusalReason[] = [...ALWAYS, "request_malformed", "audit_unavailable"];
  const decide = (operationId: string, summary: string) => ({
    post: operation(operationId, summary, {
      parameters: [inPath("id", "Of the approval.")],
      answer: ["Approval", "As it is now."],
      refused: [...changes, "nothing_of_this_id"],
    }),
  });
  return {
    "/v1/revocations": {
      post: operation("revoke", "Revoke (operators)", {
        body: "RevocationRequest",
        answer: ["RevocationMade", "In force, and kept: it survives a restart."],
        refused: [...changes, "state_unavailable"],
      }),
      get: operation("revocations", "List what is revoked (operators)", {
        parameters: [
          inQuery("limit", { type: "integer", minimum: 1, maximum: 1_000, default: 100 }, "How many, of the newest."),
        ],
        answer: ["RevocationList", "Oldest first."],
        refused: [...ALWAYS, "request_malformed"],
      }),
    },
    "/v1/revocations/{id}": {
      delete: operation("lift", "Lift a revocation (operators)", {
        parameters: [inPath("id", "Of the revocation.")],
        answer: ["Revocation", "As it was. Leases that it ended stay ended."],
        refused: [...changes, "state_unavailable", "nothing_of_this_id"],
      }),
    },
    "/v1/approvals": {
      get: operation("approvals", "List what waits for an approval, and what was decided (operators)", {
        answer: ["ApprovalList", "Oldest first."],
        refused: ALWAYS,
      }),
    },
    "/v1/approvals/{id}/approve": decide("approve", "Allow one lease (operators)"),
    "/v1/approvals/{id}/deny": decide("deny", "Refuse a lease (operators)"),
  };
}

/** Whatever is asked. */
const ALWAYS: readonly LeaseRefusalReason[] = ["caller_not_allowed", "overloaded", "draining"];
/** What an issue is never refused with. */
const OF_OTHERS: ReadonlySet<string> = new Set([
  "lease_unknown",
  "lease_expired",
  "lease_at_its_end",
  "session_mismatch",
  "input_unfit",
  "nothing_of_this_id",
  "state_unavailable",
]);

interface Operation {
  readonly parameters?: readonly Record<string, unknown>[];
  readonly body?: string;
  readonly answer: readonly [schema: string, description: string];
  readonly refused: readonly LeaseRefusalReason[];
}

function operation(operationId: string, summary: string, { parameters, body, answer, refused }: Operation) {
  const [schema, description] = answer;
  return {
    operationId,
    summary,
    ...(parameters === undefined ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: jsonOf(body) } }),
    responses: {
      200: {
        description,
        headers: { "cache-control": { schema: { type: "string", const: "no-store" } } },
        content: jsonOf(schema),
      },
      ...refusals(refused),
    },
  };
}

function inQuery(name: string, schema: Record<string, unknown>, description: string) {
  return { name, in: "query", description, schema };
}

function inPath(name: string, description: string) {
  return { name, in: "path", required: true, description, schema: { type: "string" } };
}

const DESCRIPTION = [
  "Leases of upstream credentials for the edge: HTTP/1.1 over TLS 1.3 with client certificates, or over a unix socket.",
  "Every message is parsed strictly: an unknown key, a missing key or a value out of bounds makes it unreadable.",
  "Who may lease may not operate, and the other way round, unless both are spelled out; operators have a socket of their own.",
  "A request has at most 16 KiB, an answer at most 64 KiB. Nothing is retried, redirected or cached.",
].join(" ");

function jsonOf(schema: string, type = "application/json"): Record<string, unknown> {
  return { [type]: { schema: { $ref: `#/components/schemas/${schema}` } } };
}

/** One response a status, telling which reasons come with it. */
function refusals(reasons: readonly LeaseRefusalReason[]): Record<string, unknown> {
  const byStatus = Map.groupBy(reasons, (reason) => PROBLEMS[reason].status);
  return Object.fromEntries(
    [...byStatus].map(([status, named]) => {
      const description = named.map((reason) => `${reason} (${LEASE_REFUSALS[reason]}): ${PROBLEMS[reason].title}`);
      return [status, { description: description.join("\n"), content: jsonOf("Problem", PROBLEM_TYPE) }];
    }),
  );
}

function componentSchemas(): Record<string, unknown> {
  const { schemas } = z.toJSONSchema(WIRE_SCHEMAS, { uri: (id) => `#/components/schemas/${id}` });
  // By name, and not in the order in which modules happen to be loaded.
  const named = Object.entries(schemas).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    named.map(([name, { $schema: _schema, $id: _id, id: _name, ...schema }]) => [name, schema]),
  );
}
