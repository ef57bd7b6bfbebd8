import { randomUUID } from "node:crypto";

/**
 * What a Vault keeps, as its API documentation describes it and no further: tokens with their lives, uses and leases; wrapping
 * tokens; auth roles; policies; key-value secrets. `fake-vault.ts` puts HTTP in front of it.
 */

export interface FakeToken {
  readonly id: string;
  readonly accessor: string;
  readonly policies: readonly string[];
  readonly issuedMs: number;
  /** Longest life from the issue, `ms`; 0 = no such bound. */
  readonly maxMs: number;
  readonly ttlMs: number;
  /** A periodic token renews for ever. */
  readonly periodMs: number;
  readonly type: "service" | "batch";
  readonly children: Set<string>;
  readonly path: string;
  /** `Infinity`: never. */
  expiresMs: number;
  /** 0 = without bound. */
  usesLeft: number;
  renewable: boolean;
}

export interface FakeLease {
  readonly id: string;
  readonly token: string;
  readonly maxUntilMs: number;
  readonly ttlMs: number;
  readonly renewable: boolean;
  expiresMs: number;
}

export interface TokenTerms {
  readonly policies: readonly string[];
  readonly ttlMs: number;
  readonly maxMs?: number;
  readonly periodMs?: number;
  readonly uses?: number;
  readonly type?: "service" | "batch";
  readonly path?: string;
}

export interface KvVersion {
  readonly data: Record<string, unknown>;
  readonly createdMs: number;
  deletionMs: number | null;
  destroyed: boolean;
}

/** What a policy allows: exact paths, or a prefix that ends in `*`. */
export type Policy = Readonly<Record<string, readonly string[]>>;

export interface AppRole {
  readonly roleId: string;
  readonly terms: TokenTerms;
  readonly secretIds: Map<string, { usesLeft: number; expiresMs: number }>;
}

export interface JwtRole {
  readonly terms: TokenTerms;
  /** Tokens that verify, and what the server says of others that it knows. */
  readonly accepts: Set<string>;
}

export interface Maker {
  readonly make: (nth: number) => Record<string, unknown>;
  readonly ttlMs: number;
  readonly maxMs: number;
  readonly renewable: boolean;
  readonly hasLease: boolean;
}

/** Of the server's own default policy, what this client needs. */
const DEFAULT_POLICY: Policy = {
  "auth/token/lookup-self": ["read"],
  "auth/token/renew-self": ["update"],
  "auth/token/revoke-self": ["update"],
  "sys/leases/renew": ["update"],
};

export class FakeVaultStore {
  readonly tokens = new Map<string, FakeToken>();
  readonly leases = new Map<string, FakeLease>();
  readonly wraps = new Map<string, { path: string; expiresMs: number; createdMs: number; data: object }>();
  readonly policies = new Map<string, Policy>([["default", DEFAULT_POLICY]]);
  readonly appRoles = new Map<string, AppRole>();
  readonly jwtRoles = new Map<string, JwtRole>();
  /** `mount/path` to its versions, the first of them version 1. */
  readonly kv2 = new Map<string, KvVersion[]>();
  readonly kv1 = new Map<string, Record<string, unknown>>();
  readonly makers = new Map<string, Maker>();
  /** Ids of leases that were revoked by name. */
  readonly revoked: string[] = [];
  readonly #nowMs: () => number;
  #made = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  issue(terms: TokenTerms): FakeToken {
    const nowMs = this.#nowMs();
    const ttlMs = terms.periodMs ?? terms.ttlMs;
    const token: FakeToken = {
      id: `${terms.type === "batch" ? "hvb" : "hvs"}.${randomUUID().replaceAll("-", "")}`,
      accessor: terms.type === "batch" ? "" : randomUUID(),
      policies: terms.policies,
      issuedMs: nowMs,
      maxMs: terms.maxMs ?? 0,
      ttlMs,
      periodMs: terms.periodMs ?? 0,
      type: terms.type ?? "service",
      children: new Set(),
      path: terms.path ?? "auth/token/create",
      expiresMs: ttlMs === 0 ? Number.POSITIVE_INFINITY : nowMs + ttlMs,
      usesLeft: terms.uses ?? 0,
      renewable: terms.type !== "batch" && ttlMs > 0,
    };
    this.tokens.set(token.id, token);
    return token;
  }

  /** The live token of this id; a use of one that is counted is taken. */
  useToken(id: string | undefined): FakeToken | null {
    const token = this.tokens.get(id ?? "");
    if (token === undefined) return null;
    if (this.#nowMs() >= token.expiresMs) {
      this.revokeToken(token.id);
      return null;
    }
    if (token.usesLeft > 0 && --token.usesLeft === 0) this.revokeToken(token.id);
    return token;
  }

  /** Its children and its leases die with it. */
  revokeToken(id: string): void {
    const token = this.tokens.get(id);
    if (token === undefined) return;
    this.tokens.delete(id);
    for (const child of token.children) this.revokeToken(child);
    for (const lease of this.leases.values()) if (lease.token === id) this.leases.delete(lease.id);
  }

  /** @returns its new life, `s`, or `null`: not renewable */
  renewToken(token: FakeToken): number | null {
    if (!token.renewable) return null;
    const nowMs = this.#nowMs();
    const wantedMs = nowMs + token.ttlMs;
    const mostMs = token.periodMs > 0 || token.maxMs === 0 ? wantedMs : token.issuedMs + token.maxMs;
    token.expiresMs = Math.min(wantedMs, mostMs);
    return Math.floor((token.expiresMs - nowMs) / 1000);
  }

  allows(token: FakeToken, path: string, capability: string): boolean {
    if (token.policies.includes("root")) return true;
    return [...token.policies, "default"].some((name) =>
      Object.entries(this.policies.get(name) ?? {}).some(
        ([rule, capabilities]) =>
          (rule === path || (rule.endsWith("*") && path.startsWith(rule.slice(0, -1)))) &&
          capabilities.includes(capability),
      ),
    );
  }

  wrap(path: string, ttlMs: number, data: object): string {
    const id = `hvs.wrap${randomUUID().replaceAll("-", "")}`;
    const createdMs = this.#nowMs();
    this.wraps.set(id, { path, createdMs, expiresMs: createdMs + ttlMs, data });
    return id;
  }

  liveWrap(id: string | undefined) {
    const wrap = this.wraps.get(id ?? "");
    return wrap === undefined || this.#nowMs() >= wrap.expiresMs ? null : wrap;
  }

  newSecretId(role: AppRole, terms: { readonly uses?: number; readonly ttlMs?: number } = {}): string {
    const id = randomUUID();
    const expiresMs = terms.ttlMs === undefined ? Number.POSITIVE_INFINITY : this.#nowMs() + terms.ttlMs;
    role.secretIds.set(id, { usesLeft: terms.uses ?? 0, expiresMs });
    return id;
  }

  /** Whether it opens the role; a use is taken. */
  useSecretId(role: AppRole, id: string): boolean {
    const secretId = role.secretIds.get(id);
    if (secretId === undefined || this.#nowMs() >= secretId.expiresMs) return false;
    if (secretId.usesLeft > 0 && --secretId.usesLeft === 0) role.secretIds.delete(id);
    return true;
  }

  write(place: string, data: Record<string, unknown>, deletionMs: number | null = null): number {
    const versions = this.kv2.get(place) ?? [];
    versions.push({ data, createdMs: this.#nowMs(), deletionMs, destroyed: false });
    this.kv2.set(place, versions);
    return versions.length;
  }

  make(path: string, maker: Maker, token: FakeToken): { data: Record<string, unknown>; lease: FakeLease | null } {
    const data = maker.make(++this.#made);
    if (!maker.hasLease) return { data, lease: null };
    const nowMs = this.#nowMs();
    const lease: FakeLease = {
      id: `${path}/${randomUUID()}`,
      token: token.id,
      maxUntilMs: nowMs + maker.maxMs,
      ttlMs: maker.ttlMs,
      renewable: maker.renewable,
      expiresMs: nowMs + maker.ttlMs,
    };
    this.leases.set(lease.id, lease);
    return { data, lease };
  }

  liveLease(id: unknown): FakeLease | null {
    const lease = typeof id === "string" ? this.leases.get(id) : undefined;
    if (lease === undefined) return null;
    if (this.#nowMs() < lease.expiresMs) return lease;
    this.leases.delete(lease.id);
    return null;
  }
}
