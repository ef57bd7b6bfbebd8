import { z } from "zod";
import { ENTRY_NAME, ENTRY_NAME_ADVICE } from "../core/secret-store.ts";
import { sourceEnv, sourceExec, sourceFile } from "./local-source-schema.ts";
import { NO_KEY } from "./primitives.ts";
import { isIssuedKey } from "./secret-look.ts";
import { sourceVault } from "./vault-schema.ts";

const sourceStore = z.strictObject({
  store: z
    .string()
    .regex(ENTRY_NAME, { message: ENTRY_NAME_ADVICE, abort: true })
    .refine((text) => !isIssuedKey(text), NO_KEY)
    .describe(
      "Entry of the encrypted store that holds it, such as `openai`, or `acme/openai` in the mount `acme`; read for every lease.",
    ),
});

/** Where custody reads a root: what `source:` of a credential says, and what its minter reads beside it. */
export const sourceSchema = z.union([sourceEnv, sourceFile, sourceExec, sourceStore, sourceVault], {
  error: "write where it is read, such as { env: NAME } or { file: /run/secrets/name }: no secret stands in a config",
});

export type RawSource = z.output<typeof sourceSchema>;
