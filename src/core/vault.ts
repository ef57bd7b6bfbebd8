import type { LocalSourceSpec } from "./credential.ts";

/** A HashiCorp Vault or OpenBao server that custody reads from, as the config says it, checked and typed. */
export interface VaultServer {
  readonly name: string;
  readonly address: VaultAddress;
  /** Value of `X-Vault-Namespace` without slashes at its ends, or `null` for the root namespace. */
  readonly namespace: string | null;
  /** PEM roots that replace those of Node; `null` = those of Node. */
  readonly ca: string | null;
  /** Name or IP text that its certificate must carry. */
  readonly serverName: string;
  readonly login: VaultLogin;
  /** One call: connecting, asking and reading, `ms`. */
  readonly timeoutMs: number;
}

export type VaultAddress =
  | { readonly kind: "https" | "http"; readonly host: string; readonly port: number }
  /** A Unix socket, absolute; plain HTTP is spoken on it. */
  | { readonly kind: "unix"; readonly path: string };

/** How custody gets its own token. `mount` is the path below `auth/`. */
export type VaultLogin =
  | {
      readonly by: "approle";
      readonly mount: string;
      readonly roleId: string;
      readonly secretId: LocalSourceSpec;
      /** What is read is a response-wrapping token: unwrapped once, after its origin was looked at. */
      readonly isWrapped: boolean;
    }
  /** The file is read for every login. */
  | {
      readonly by: "kubernetes" | "jwt";
      readonly mount: string;
      readonly role: string;
      readonly token: LocalSourceSpec;
    }
  /** `isSink`: an agent writes the file and renews the token; custody reads it anew and neither renews nor revokes it. */
  | { readonly by: "token"; readonly token: LocalSourceSpec; readonly isSink: boolean };

/** Where in a Vault the root of a credential is. */
export interface VaultSourceSpec {
  readonly from: "vault";
  readonly server: VaultServer;
  readonly engine: VaultEngine;
  /** Mount of the engine, without slashes at its ends. */
  readonly mount: string;
  /** Path below the mount; for `dynamic` with its verb, e.g. `creds/readonly`. */
  readonly path: string;
  /** Name of the field that is the secret; `null` where the kind of the credential says it. */
  readonly field: string | null;
  /** Version of KV 2 that is pinned; `null` = the latest. */
  readonly version: number | null;
  /** Who shares one dynamic credential: nobody, or the leases of one tenant while it lives. */
  readonly sharedBy: "lease" | "tenant";
}

export type VaultEngine = "kv2" | "kv1" | "dynamic";
