import { z } from "zod";
import { sourceEnv, sourceExec, sourceFile } from "./local-source-schema.ts";
import { sourceVault } from "./vault-schema.ts";

/** Where custody reads a root: what `source:` of a credential says, and what its minter reads beside it. */
export const sourceSchema = z.union([sourceEnv, sourceFile, sourceExec, sourceVault]);

export type RawSource = z.output<typeof sourceSchema>;
