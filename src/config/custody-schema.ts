import { z } from "zod";
import { credentialSchema } from "./credential-schema.ts";
import { addressText, boundedText, claimText, pathText, whole } from "./primitives.ts";
import { auditSchema, logSchema } from "./schema.ts";

/** The shape of the config file of `postern custody`. */

const listenSchema = z.strictObject({
  address: addressText.describe("`unix:/run/postern/custody.sock`, or `host:port` with `tls`."),
  tls: z
    .strictObject({
      certificate: pathText.describe("PEM file of the custody's certificate and its intermediates."),
      key: pathText.describe("PEM file of its key."),
      client_ca: pathText.describe("PEM file of the roots that client certificates must chain to."),
    })
    .optional()
    .describe("Mutual TLS; needed with `host:port`."),
});

const clientSchema = z.strictObject({
  name: boundedText(253).describe("Common name or DNS name in the client certificate."),
  tenants: z
    .array(claimText)
    .min(1)
    .max(10_000)
    .optional()
    .describe("Tenants that it may ask for; left out: every tenant."),
  may: z
    .array(z.enum(["lease", "operate"]))
    .min(1)
    .max(2)
    .default(["lease"])
    .describe("What it may do: ask for leases; operate (revoke, lift, approve, list)."),
});

const operatorsSchema = z.strictObject({
  address: addressText.describe("`unix:/run/postern/custody-operators.sock`: who can open it may operate."),
  mode: z
    .string()
    .regex(/^0[0-7]{3}$/, 'write a mode such as "0600"')
    .default("0600")
    .describe("Mode of the socket, as text in octal."),
});

const limitsSchema = z.strictObject({
  requests_per_second: whole(1, 100_000, 1000, "Requests of one caller that are answered in a second, on average."),
  burst: whole(1, 1_000_000, 5000, "Requests that one caller may send at once after a pause."),
  issues_at_once: whole(1, 256, 128, "Leases that are issued for one caller at one time; for all of them 256."),
});

export const custodyFileSchema = z.strictObject({
  listen: listenSchema.describe("Where edges connect; never an address that guests can reach."),
  clients: z
    .array(clientSchema)
    .max(10_000)
    .default([])
    .describe(
      "Edges that may ask, by the name in their certificate; needed with `tls`. With a unix socket its file mode decides.",
    ),
  operators: operatorsSchema
    .optional()
    .describe("A socket for operators; left out: nobody operates but clients that may."),
  limits: limitsSchema.prefault({}).describe("What one caller may ask for: another one is not to wait for it."),
  state: pathText
    .optional()
    .describe("File that keeps what is revoked; left out: beside the audit file, its name ending in `.state`."),
  credentials: z.array(credentialSchema).max(10_000).describe("The catalogue."),
  audit: auditSchema.describe("The audit trail of issued leases."),
  log: logSchema.prefault({}).describe("The log on standard output."),
});

export type RawCustodyFile = z.output<typeof custodyFileSchema>;
