import type { Material } from "./material.ts";
import type { MintSpec } from "./mint.ts";

/** Where custody reads the root of a credential from. The root itself never appears in a config. */
export type SourceSpec =
  | { readonly from: "env"; readonly variable: string }
  /** `path` is absolute. */
  | { readonly from: "file"; readonly path: string }
  /** `command[0]` is the program; it is started without a shell. */
  | { readonly from: "exec"; readonly command: readonly string[]; readonly timeoutMs: number };

/** The shape of the material that a lease brings. */
export type CredentialKind = Material["kind"];

/** One credential of a custody's catalogue, as the config says it, checked and typed. */
export interface CredentialEntry {
  readonly name: string;
  readonly kind: CredentialKind;
  /** For `userpass`, and for `token` when it is attached as basic; else `null`. */
  readonly username: string | null;
  /** The name that goes with a key: the access key id of AWS, or the `keyid` of a signature; else `null`. */
  readonly keyId: string | null;
  /** Where the key of a bound token is once it is leased; `null` for other kinds. */
  readonly keyAt: "custody" | "edge" | null;
  readonly source: SourceSpec;
  /** How the root becomes what is leased; `null`: what is leased is the root. */
  readonly mint: MintSpec | null;
  /** Canonical authority texts (`api.example.com:443`, `[2001:db8::1]:443`) or `*.example.com:443`; never empty. */
  readonly hosts: readonly string[];
  /** Tenants that may lease it; `null` = every tenant that the custody serves. */
  readonly tenants: readonly string[] | null;
  /** Longest lease lifetime, `s`, 1 to 900. */
  readonly ttlSeconds: number;
  /** How many exchanges one lease may serve, or `null` for no such bound. */
  readonly maxUses: number | null;
  /** An operator says yes to each lease before it is issued. */
  readonly approval: boolean;
}

/**
 * Whether `hosts` of a credential covers an authority. `*.example.com:443` covers every name below the apex, never the apex.
 * @param hosts as in `CredentialEntry`
 * @param authority canonical `host:port`
 */
export function hostsCover(hosts: readonly string[], authority: string): boolean {
  return hosts.some((host) => {
    if (!host.startsWith("*.")) return host === authority;
    const tail = host.slice(1);
    return authority.length > tail.length && authority.endsWith(tail);
  });
}
