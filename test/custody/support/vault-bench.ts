import type { CredentialEntry } from "../../../src/core/credential.ts";
import type { Clock } from "../../../src/core/clock.ts";
import type { VaultLogin, VaultServer, VaultSourceSpec } from "../../../src/core/vault.ts";
import { VaultServers } from "../../../src/custody/vault/servers.ts";
import type { Timers } from "../../../src/custody/vault/timers.ts";
import type { ManualClock } from "./clocks.ts";
import type { FakeVault } from "./fake-vault.ts";
import type { AppRole, TokenTerms } from "./fake-vault-store.ts";
import { entryOf, type Issuing, issuing } from "./issuing.ts";

/** Timers that ring when a manual clock is moved past them. */
export class ManualTimers implements Timers {
  readonly #clock: ManualClock;
  readonly #waiting = new Set<{ readonly atMs: number; readonly ring: () => void }>();

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  after(ms: number, ring: () => void): () => void {
    const entry = { atMs: this.#clock.monotonicMs() + ms, ring };
    this.#waiting.add(entry);
    return () => void this.#waiting.delete(entry);
  }

  /** Lets time pass and rings what is due. */
  advance(ms: number): void {
    this.#clock.advance(ms);
    const nowMs = this.#clock.monotonicMs();
    for (const entry of this.#waiting)
      if (entry.atMs <= nowMs) {
        this.#waiting.delete(entry);
        entry.ring();
      }
  }

  get size(): number {
    return this.#waiting.size;
  }
}

export const ROLE_ID = "role-id-of-the-test";
export const READER = { "kv/*": ["read"], "old/*": ["read"], "database/*": ["read"], "sys/leases/revoke": ["update"] };

/** Until a server has been asked nothing for some turns of the loop, and has answered everything. */
export async function quiet(fake: FakeVault): Promise<void> {
  for (let turns = 0, seen = -1; turns < 8; turns++) {
    if (seen !== fake.asked.length || fake.running > 0) turns = 0;
    seen = fake.asked.length;
    // Not a turn alone: what one has said to the other may take the kernel a moment.
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** A role whose tokens read the mounts of the tests. */
export function appRoleOf(fake: FakeVault, terms: Partial<TokenTerms> = {}): { role: AppRole; secretId: string } {
  fake.store.policies.set("reader", READER);
  const role: AppRole = {
    roleId: ROLE_ID,
    terms: { policies: ["default", "reader"], ttlMs: 3_600_000, ...terms },
    secretIds: new Map(),
  };
  fake.store.appRoles.set("approle/edge", role);
  return { role, secretId: fake.store.newSecretId(role) };
}

export function serverOf(fake: FakeVault, change: Partial<VaultServer> = {}): VaultServer {
  return {
    name: "main",
    address: { kind: "http", host: "127.0.0.1", port: fake.port },
    namespace: null,
    ca: null,
    serverName: "127.0.0.1",
    login: approleLogin(),
    timeoutMs: 10_000,
    ...change,
  };
}

export function approleLogin(change: Partial<VaultLogin & { by: "approle" }> = {}): VaultLogin {
  return {
    by: "approle",
    mount: "approle",
    roleId: ROLE_ID,
    secretId: { from: "env", variable: "SECRET_ID" },
    isWrapped: false,
    ...change,
  };
}

export function kvEntry(
  server: VaultServer,
  source: Partial<VaultSourceSpec> = {},
  change: Partial<CredentialEntry> = {},
): CredentialEntry {
  const spec: VaultSourceSpec = {
    from: "vault",
    server,
    engine: "kv2",
    mount: "kv",
    path: "apps/openai",
    field: "api_key",
    version: null,
    sharedBy: "lease",
    ...source,
  };
  return entryOf({ ...change, source: spec });
}

export interface VaultBench extends Issuing {
  readonly vaults: VaultServers;
  /** What the Vaults warned of; refusals are in `warnings`. */
  readonly told: readonly string[];
}

/** An issuer over entries that read from Vaults, with what its environment says. */
export function vaultIssuing(
  entries: readonly CredentialEntry[],
  environment: Record<string, string | undefined>,
  time: { readonly clock: Clock; readonly timers?: Timers },
): VaultBench {
  const warnings: string[] = [];
  const vaults = new VaultServers({
    clock: time.clock,
    environment,
    uid: process.getuid?.() ?? null,
    warn: (text) => void warnings.push(text),
    random: () => 0.5,
    ...(time.timers === undefined ? {} : { timers: time.timers }),
  });
  const parts = issuing({ entries, environment, clock: time.clock, vaults });
  return { ...parts, told: warnings, vaults };
}
