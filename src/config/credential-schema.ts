import { z } from "zod";
import { ENTRY_NAME, ENTRY_NAME_ADVICE } from "../core/secret-store.ts";
import { boundedText, claimText, NO_KEY, nameText, pathText, whole } from "./primitives.ts";
import { isIssuedKey } from "./secret-look.ts";

/** One catalogue schema for the embedded custody and for a custody process of its own. */

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

const sourceStore = z.strictObject({
  store: z
    .string()
    .regex(ENTRY_NAME, { message: ENTRY_NAME_ADVICE, abort: true })
    .refine((text) => !isIssuedKey(text), NO_KEY)
    .describe(
      "Entry of the encrypted store that holds it, such as `openai`, or `acme/openai` in the mount `acme`; read for every lease.",
    ),
});

export const credentialSchema = z.strictObject({
  name: nameText.describe("Name that destinations refer to; unique in its custody."),
  kind: z
    .enum(["token", "userpass", "header", "aws", "signing_key", "client_certificate"])
    .describe(
      "What a lease brings: one token; a password that goes with `username`; a whole header value; AWS keys; a key that signs; a TLS client certificate with its key.",
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
  source: z
    .union([sourceEnv, sourceFile, sourceExec, sourceStore])
    .describe("Where the root is read: one of `env`, `file`, `exec`, `store`."),
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
});

export type RawCredential = z.output<typeof credentialSchema>;
