import { z } from "zod";
import { boundedText, NO_KEY, pathText, whole } from "./primitives.ts";
import { isIssuedKey } from "./secret-look.ts";

/** Where a text is read on custody's own machine. */

export const sourceEnv = z.strictObject({
  env: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, { message: "write the name of an environment variable", abort: true })
    .refine((text) => !isIssuedKey(text), NO_KEY)
    .describe("Environment variable that holds it, read when a lease is issued."),
});

export const sourceFile = z.strictObject({
  file: pathText.describe(
    "File that holds it, relative to the config file; a final line break is cut; read for every lease, and watched.",
  ),
});

export const sourceExec = z.strictObject({
  exec: z
    .array(boundedText(4096))
    .min(1)
    .max(64)
    .describe(
      "Program and arguments, started without a shell; a relative program path with a slash counts from the config file.",
    ),
  timeout_ms: whole(100, 60_000, 5000, "How long the program may take, `ms`."),
});

export type RawLocalSource = z.output<typeof sourceEnv> | z.output<typeof sourceFile> | z.output<typeof sourceExec>;
