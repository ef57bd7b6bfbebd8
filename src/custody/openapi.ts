import { dump } from "js-yaml";
import { z } from "zod";
import { LEASE_REFUSALS, type LeaseRefusalReason } from "../core/custody.ts";
import { PROBLEM_TYPE, PROBLEMS } from "./problem.ts";
import { SIGN_REASONS, signOpenapi } from "./sign-openapi.ts";
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
    paths: {
      "/v1/leases": {
        post: {
          operationId: "lease",
          summary: "Ask for one lease",
          parameters: [
            {
              name: WAIT_HEADER,
              in: "header",
              description:
                "How long the caller waits, ms: a slower source is then refused by name instead of not at all.",
              schema: { type: "integer", minimum: 1, maximum: 60_000 },
            },
          ],
          requestBody: { required: true, content: jsonOf("LeaseRequest") },
          responses: {
            200: {
              description: "The lease; its issue is on durable record.",
              headers: { "cache-control": { schema: { type: "string", const: "no-store" } } },
              content: jsonOf("LeaseGrant"),
            },
            ...refusals(LEASE_REASONS),
          },
        },
      },
      ...signOpenapi(jsonOf, refusals),
      "/v1/health": {
        get: {
          operationId: "health",
          summary: "Whether custody answers",
          responses: {
            200: { description: "It does.", content: jsonOf("Health") },
            ...refusals(["caller_not_allowed", "overloaded", "draining"]),
          },
        },
      },
    },
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

const DESCRIPTION = [
  "Leases of upstream credentials for the edge: HTTP/1.1 over TLS 1.3 with client certificates, or over a unix socket.",
  "Every message is parsed strictly: an unknown key, a missing key or a value out of bounds makes it unreadable.",
  "A request has at most 16 KiB, an answer at most 64 KiB. Nothing is retried, redirected or cached.",
].join(" ");

function jsonOf(schema: string, type = "application/json"): Record<string, unknown> {
  return { [type]: { schema: { $ref: `#/components/schemas/${schema}` } } };
}

const LEASE_REASONS = (Object.keys(PROBLEMS) as LeaseRefusalReason[]).filter(
  (reason) => !SIGN_REASONS.includes(reason),
);

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
  return Object.fromEntries(
    Object.entries(schemas).map(([name, { $schema: _schema, $id: _id, id: _name, ...schema }]) => [name, schema]),
  );
}
