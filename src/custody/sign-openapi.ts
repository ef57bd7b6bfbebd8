import type { LeaseRefusalReason } from "../core/custody.ts";

/** What only the route that signs refuses with. */
export const SIGN_REASONS: readonly LeaseRefusalReason[] = ["lease_unknown", "input_unfit"];

/** The route of `sign-route.ts`. */
export function signOpenapi(
  jsonOf: (schema: string) => Record<string, unknown>,
  refusals: (reasons: readonly LeaseRefusalReason[]) => Record<string, unknown>,
): Record<string, unknown> {
  return {
    "/v1/leases/{lease_id}/sign": {
      post: {
        operationId: "sign",
        summary: "Have the key of a lease sign a DPoP proof",
        description: "For leases whose key custody keeps, by the caller that they were issued to, while they live.",
        parameters: [
          { name: "lease_id", in: "path", required: true, schema: { type: "string", minLength: 1, maxLength: 100 } },
        ],
        requestBody: { required: true, content: jsonOf("SignRequest") },
        responses: {
          200: { description: "The signature.", content: jsonOf("Signature") },
          ...refusals(["request_malformed", "caller_not_allowed", "overloaded", "draining", ...SIGN_REASONS]),
        },
      },
    },
  };
}
