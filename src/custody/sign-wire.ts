import { z } from "zod";
import { WIRE_SCHEMAS } from "./wire-schema.ts";

/** What goes between edge and custody where custody keeps a key and signs. Parsed as strictly as `wire-schema.ts`. */

/** A proof of 12 KiB is one of a path that few servers would take. */
const MOST_INPUT_CHARS = 12 * 1024;

export const signRequestSchema = z
  .strictObject({
    input: z
      .string()
      .max(MOST_INPUT_CHARS)
      .regex(/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/)
      .describe(
        "JWS signing input of a DPoP proof (RFC 7515 §5.1, RFC 9449 §4.2) for this lease: nothing else is signed.",
      ),
  })
  .register(WIRE_SCHEMAS, { id: "SignRequest" });

export const signatureSchema = z
  .strictObject({
    signature: z
      .string()
      .regex(/^[A-Za-z0-9_-]{86}$/)
      .describe("64 bytes, base64url."),
  })
  .register(WIRE_SCHEMAS, { id: "Signature" });

/** Where a lease signs. */
export function signPath(leaseId: string): string {
  return `/v1/leases/${encodeURIComponent(leaseId)}/sign`;
}
