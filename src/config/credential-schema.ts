import { z } from "zod";
import { mintSchema } from "./mint/table.ts";
import { boundedText, claimText, nameText, whole } from "./primitives.ts";
import { sourceSchema } from "./source-schema.ts";

/** One catalogue schema for the embedded custody and for a custody process of its own. */

/** Words of `attach:` that are written for a kind; `header` is both. */
const KIND_OF_ATTACHMENT: ReadonlyMap<unknown, string> = new Map([
  ["bearer", "token"],
  ["basic", "userpass"],
  ["query", "token"],
  ["cookie", "token"],
  ["body", "token"],
  ["sigv4", "aws"],
  ["hmac", "signing_key"],
  ["message_signature", "signing_key"],
]);

/** `bearer` is near to `header` in letters alone. */
function kindAdvice({ input }: { readonly input?: unknown }): string | undefined {
  const kind = KIND_OF_ATTACHMENT.get(input);
  return kind === undefined
    ? undefined
    : `write ${JSON.stringify(kind)}: how it is attached stands at the destination, attach: { as: ${String(input)} }`;
}

export const credentialSchema = z.strictObject({
  name: nameText.describe("Name that destinations refer to; unique in its custody."),
  kind: z
    .enum(["token", "userpass", "header", "aws", "signing_key", "client_certificate", "dpop"], { error: kindAdvice })
    .describe(
      "What a lease brings: one token; a password that goes with `username`; a whole header value; AWS keys; a key that signs; a TLS client certificate with its key; a token that is bound to a key (DPoP). May be left out where `mint` says it.",
    )
    .optional(),
  key_at: z
    .enum(["custody", "edge"])
    .optional()
    .describe(
      "Where the key of a `dpop` token is: `custody` keeps it and signs each proof, or it goes to the edge with the lease; left out: `custody`.",
    ),
  username: z
    .string()
    .regex(/^[!-9;-~][ -9;-~]{0,254}$/, "write up to 255 printable ASCII characters without a colon")
    .optional()
    .describe("User name; needed by `userpass`, and by `token` where it is attached as `basic`."),
  key_id: z
    .string()
    .regex(/^[!-~]{1,512}$/, "write up to 512 printable ASCII characters without blanks")
    .optional()
    .describe(
      "Name of the key: the access key id that goes with a secret access key (`aws`), or the `keyid` of signatures (`signing_key`).",
    ),
  source: sourceSchema.describe("Where the root is read: one of `env`, `file`, `exec`, `store`, `vault`."),
  mint: mintSchema
    .optional()
    .describe("How the root becomes something smaller that is leased in its place; left out: the root is leased."),
  hosts: z
    .array(boundedText(300))
    .min(1)
    .max(1000)
    .describe("Authorities that it may be leased for, as `host:port` or `*.example.com:443`; nothing else gets it."),
  tenants: z
    .array(claimText)
    .min(1)
    .max(10_000)
    .optional()
    .describe("Tenants that may lease it; left out: every tenant."),
  ttl_seconds: whole(1, 900, 900, "Longest life of a lease, `s`; never more than 15 minutes."),
  max_uses: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .optional()
    .describe("Exchanges that one lease may serve; left out: no such bound."),
  approval: z
    .literal("required")
    .optional()
    .describe("An operator approves each lease (`postern custody approve`); left out: nobody has to."),
});

export type RawCredential = z.output<typeof credentialSchema>;
