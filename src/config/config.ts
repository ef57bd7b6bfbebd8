import type { CredentialEntry } from "../core/credential.ts";
import type { DestinationRule, UpstreamParent } from "../core/destination.ts";
import type { SessionClaims } from "../core/exchange.ts";
import type { CamelKeys } from "./camel.ts";
import type { ListenAddress } from "./listen-address.ts";
import type { AuditSection, LimitsSection, LogSection, TimeoutsSection, TlsSection } from "./schema.ts";

/**
 * This folder turns the config file into plain, frozen, typed data, or into the list of everything that is wrong with it.
 * `load.ts` is the way in; `schema.ts` is the shape of the file, which the JSON Schema and docs/configuration.md come from.
 */
export interface PosternConfig {
  readonly listeners: readonly ListenerConfig[];
  /** Metrics and health, or `null` when no admin listener is asked for. */
  readonly admin: AdminConfig | null;
  /** `null` only when no destination is inspected over TLS. */
  readonly ca: CaFiles | null;
  readonly tls: CamelKeys<TlsSection>;
  readonly upstream: UpstreamConfig;
  /** Every parent proxy; which one a destination goes through it says itself. */
  readonly parents: readonly UpstreamParent[];
  readonly resolver: ResolverConfig;
  readonly limits: CamelKeys<LimitsSection>;
  readonly timeouts: CamelKeys<TimeoutsSection>;
  readonly log: CamelKeys<LogSection>;
  /** `file` is absolute. */
  readonly audit: CamelKeys<AuditSection>;
  readonly custodies: readonly CustodyBinding[];
  readonly destinations: readonly DestinationRule[];
}

/** One guest listener and how its guests are known. */
export interface ListenerConfig {
  readonly name: string;
  readonly address: ListenAddress;
  readonly protocol: "http" | "socks5";
  /** `null`: guests come without TLS. */
  readonly tls: ListenerTlsFiles | null;
  /** Who announces guests by the PROXY protocol, as canonical ranges or whoever is at the unix socket; `null`: nobody. */
  readonly proxySenders: "unix" | readonly string[] | null;
  readonly session: SessionRule;
  /** Of the unix socket; means nothing for a TCP address. */
  readonly socket: SocketAccess;
}

export interface SocketAccess {
  readonly mode: number;
  /** `null`: the edge's own user and group. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

/** Absolute paths. */
export interface ListenerTlsFiles {
  readonly certificate: string;
  readonly key: string;
  readonly clients: { readonly ca: string; readonly required: boolean } | null;
}

/** How a session is proven. A further mode is a further member. */
export type SessionRule =
  /** Everybody who can reach the listener is this one local session. */
  | { readonly mode: "open"; readonly claims: SessionClaims }
  /** The listener belongs to this session: who can reach it was decided by who was given the socket. */
  | { readonly mode: "listener"; readonly claims: SessionClaims };

export interface AdminConfig {
  readonly address: ListenAddress;
}

/** Absolute paths; the files are read by `src/tls/`. */
export interface CaFiles {
  readonly certificate: string;
  readonly key: string;
  readonly passphraseFile: string | null;
}

export interface UpstreamConfig {
  /** PEM texts beside the system's roots. */
  readonly extraRoots: readonly string[];
}

export interface ResolverConfig {
  /** Canonical name, or `*.name` for every name below, to canonical IP texts. */
  readonly hosts: ReadonlyMap<string, readonly string[]>;
  readonly answerTtlMs: number;
  readonly timeoutMs: number;
}

/** Where the leases of a custody name come from. */
export type CustodyBinding =
  | { readonly name: string; readonly kind: "embedded"; readonly credentials: readonly CredentialEntry[] }
  | {
      readonly name: string;
      readonly kind: "remote";
      readonly address: RemoteAddress;
      readonly tls: RemoteTlsFiles | null;
      /** One lease call, `ms`. */
      readonly timeoutMs: number;
    };

/** Where a custody process is reached. */
export type RemoteAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** Absolute paths; mutual TLS of the edge towards a custody process. */
export interface RemoteTlsFiles {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
  /** Name that the custody's certificate must carry. */
  readonly serverName: string;
}

/** The config of `postern custody`. */
export interface CustodyConfig {
  readonly listen: CustodyListen;
  /** Who may ask, and for which tenants. Empty with a unix socket: whoever can open the socket. */
  readonly clients: readonly CustodyClient[];
  /** The operators' socket, or `null`. */
  readonly operators: { readonly path: string; readonly mode: number } | null;
  /** What one caller may ask for. */
  readonly limits: {
    readonly requestsPerSecond: number;
    readonly burst: number;
    readonly issuesAtOnce: number;
  };
  /** Absolute path of the file that keeps what is revoked. */
  readonly state: string;
  readonly credentials: readonly CredentialEntry[];
  readonly audit: CamelKeys<AuditSection>;
  readonly log: CamelKeys<LogSection>;
}

export interface CustodyListen {
  readonly address: ListenAddress;
  /** Mutual TLS; always present with a host and port, absolute paths. */
  readonly tls: { readonly certificate: string; readonly key: string; readonly clientCa: string } | null;
}

export interface CustodyClient {
  /** Common name or DNS SAN of the client certificate. */
  readonly name: string;
  /** Tenants that it may ask for; `null` = all. */
  readonly tenants: readonly string[] | null;
  readonly may: readonly ("lease" | "operate")[];
}
