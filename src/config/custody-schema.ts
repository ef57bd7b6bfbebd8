import { z } from "zod";
import { credentialSchema } from "./credential-schema.ts";
import { addressText, boundedText, claimText, pathText } from "./primitives.ts";
import { auditSchema, logSchema } from "./schema.ts";
import { vaultsSchema } from "./vault-schema.ts";

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
  vaults: vaultsSchema,
  credentials: z.array(credentialSchema).max(10_000).describe("The catalogue."),
  audit: auditSchema.describe("The audit trail of issued leases."),
  log: logSchema.prefault({}).describe("The log on standard output."),
});

export type RawCustodyFile = z.output<typeof custodyFileSchema>;
