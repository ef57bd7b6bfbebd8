import { z } from "zod";
import { boundedText, nameText, pathText, whole } from "./primitives.ts";
import { sourceEnv, sourceExec, sourceFile } from "./local-source-schema.ts";

/** The shape of `vaults:` and of sources in a Vault. */

const SLASHED = /^[A-Za-z0-9._~-]+(?:\/[A-Za-z0-9._~ @:+=,-]+)*$/;
const SLASHED_ADVICE = "write segments of letters, digits, dots and dashes, with single slashes between them";

/** A path below `/v1/`: no empty and no dotted segments, so that it means one thing only. */
const slashed = boundedText(512).regex(SLASHED, SLASHED_ADVICE).refine(hasNoDots, "write no segment of dots alone");

function hasNoDots(path: string): boolean {
  return !path.split("/").some((segment) => /^\.+$/.test(segment));
}

const mount = (fallback: string) =>
  slashed.default(fallback).describe(`Path of the auth method below \`auth/\`; left out: \`${fallback}\`.`);

const role = boundedText(256).describe("Role that custody logs in to.");
const anywhere = z.union([sourceEnv, sourceFile, sourceExec]);
const delivered = z.union([sourceEnv, sourceFile]);

const approle = z.strictObject({
  role_id: boundedText(256).describe("Role id."),
  secret_id: anywhere.optional().describe("Where the secret id is read, for every login: `env`, `file` or `exec`."),
  wrapped_secret_id: delivered
    .optional()
    .describe(
      "In place of `secret_id`: where a response-wrapping token is read. It is unwrapped once, after a look at where it was made; the secret id is then held in memory.",
    ),
  mount: mount("approle"),
});

const kubernetes = z.strictObject({
  role,
  token_file: pathText
    .default("/var/run/secrets/kubernetes.io/serviceaccount/token")
    .describe("File of the service account's token, read for every login."),
  mount: mount("kubernetes"),
});

const jwt = z.strictObject({
  role,
  token: anywhere.describe("Where the JWT is read, for every login: `env`, `file` or `exec`."),
  mount: mount("jwt"),
});

const token = z.union([
  sourceEnv,
  sourceFile,
  z.strictObject({
    sink: pathText.describe("File that an agent writes its token to: read anew, never renewed or revoked from here."),
  }),
]);

export const vaultSchema = z.strictObject({
  address: boundedText(300).describe(
    "`https://vault.internal:8200`; `http://` for a loopback address alone, or `unix:/path` of an agent's or proxy's socket.",
  ),
  namespace: slashed.optional().describe("Namespace of everything that is read; left out: the root one."),
  ca: pathText.optional().describe("PEM file of the roots that its certificate must chain to; left out: Node's own."),
  server_name: boundedText(253).optional().describe("Name in its certificate; left out: the host of `address`."),
  login: z
    .union([
      z.strictObject({ approle: approle.describe("AppRole.") }),
      z.strictObject({ kubernetes: kubernetes.describe("Service account of Kubernetes.") }),
      z.strictObject({ jwt: jwt.describe("JWT or OIDC.") }),
      z.strictObject({ token: token.describe("A token: `env`, `file`, or `sink`.") }),
    ])
    .describe("How custody gets its token: one of `approle`, `kubernetes`, `jwt`, `token`."),
  timeout_ms: whole(100, 30_000, 2000, "One call, `ms`; a lease waits for two at most."),
});

export const vaultsSchema = z
  .record(nameText, vaultSchema)
  .default({})
  .describe("HashiCorp Vault and OpenBao servers that credentials are read from, by name; see docs/vault.md.");

export const sourceVault = z.strictObject({
  vault: nameText.describe("Name of one of `vaults`."),
  path: slashed.describe("`mount/path` of the secret, without `data/`; for an engine `mount/creds/role` or the like."),
  mount: slashed
    .optional()
    .describe("The mount, where it has slashes: the begin of `path`; left out: its first segment."),
  engine: z
    .enum(["kv2", "kv1", "dynamic"])
    .default("kv2")
    .describe("Key-value engine with or without versions, or one that makes credentials with a lease."),
  field: boundedText(128)
    .optional()
    .describe(
      "Field that is the secret; left out: `password` beside `username` (`userpass`), all fields (`aws`), `certificate`, `chain` and `private_key` (`client_certificate`).",
    ),
  version: z
    .int()
    .min(1)
    .max(2_147_483_647)
    .optional()
    .describe("Version of `kv2` that is pinned; left out: the latest."),
  shared_by: z
    .enum(["lease", "tenant"])
    .default("lease")
    .describe(
      "`lease`: each lease has a dynamic credential made; `tenant`: leases of one tenant share one, which custody renews.",
    ),
});

export type RawVault = z.output<typeof vaultSchema>;
export type RawVaultSource = z.output<typeof sourceVault>;
