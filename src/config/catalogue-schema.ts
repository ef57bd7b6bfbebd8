import { z } from "zod";
import { sourceEnv, sourceExec, sourceFile } from "./local-source-schema.ts";
import { boundedText, claimText, pathText } from "./primitives.ts";

/** What stands beside the credentials of a custody, embedded or not. */

const storeSchema = z.strictObject({
  file: pathText.describe(
    "The encrypted file, relative to the config file; `postern custody secret` makes and changes it. For its owner alone.",
  ),
  key: z
    .union([sourceEnv, sourceFile, sourceExec])
    .describe(
      "Where its key is read: one of `env`, `file`, `exec`. 32 bytes as hex or base64 (`openssl rand -hex 32`), or a passphrase.",
    ),
});

const mountsSchema = z.strictObject({
  mounts: z
    .array(boundedText(1000))
    .min(1)
    .max(1000)
    .describe(
      "What it may be issued credentials from: `env://`, `store://acme`, `vault+kv2://team-a`, or with a path that they must lie under, `file:///run/secrets/acme`.",
    ),
});

/** Spread into the mapping that has `credentials`. */
export const catalogueSections = {
  store: storeSchema.optional().describe("The encrypted store of this custody; left out: none."),
  tenants: z
    .record(claimText, mountsSchema, 'write a mapping of tenants, such as acme: { mounts: ["store://acme"] }')
    .optional()
    .describe(
      "Where the credentials of each tenant may be kept: whatever else their entries say, no other is issued. Left out: tenants are not told apart by that; present: a tenant that is not named gets none.",
    ),
};

/** For sections whose neighbours may be broken. */
export const catalogueSectionsSchema = z.strictObject(catalogueSections);

export type RawCatalogueSections = z.output<typeof catalogueSectionsSchema>;
