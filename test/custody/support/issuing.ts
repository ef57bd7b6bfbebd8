import { randomBytes } from "node:crypto";
import type { CredentialEntry } from "../../../src/core/credential.ts";
import type { IssueAudit, IssueEvent, OperatorEvent } from "../../../src/core/custody.ts";
import type { Clock } from "../../../src/core/clock.ts";
import type { TenantMounts } from "../../../src/core/tenant-mounts.ts";
import { Catalogue } from "../../../src/custody/catalogue.ts";
import type { Revocations } from "../../../src/custody/revocations.ts";
import type { SessionCheck } from "../../../src/custody/caller.ts";
import { Issuer } from "../../../src/custody/issuer.ts";
import type { SecretStore } from "../../../src/custody/store/secret-store.ts";
import type { VaultServers } from "../../../src/custody/vault/servers.ts";

/** The root of the test credential `key`; nothing that is written anywhere may hold it. */
export const ROOT = "root-of-the-test-0f3a9c";

/** An audit in memory that fails when it is told to. */
export class MemoryAudit implements IssueAudit {
  readonly events: IssueEvent[] = [];
  readonly operations: OperatorEvent[] = [];
  failing = false;

  async record(event: IssueEvent): Promise<void> {
    if (this.failing) throw new Error("no space left on device");
    this.events.push(event);
  }

  async operated(event: OperatorEvent): Promise<void> {
    if (this.failing) throw new Error("no space left on device");
    this.operations.push(event);
  }
}

export interface IssuingOptions {
  readonly entries?: readonly CredentialEntry[];
  readonly environment?: Record<string, string | undefined>;
  readonly clock: Clock;
  readonly sessions?: SessionCheck;
  readonly vaults?: VaultServers;
  readonly store?: SecretStore;
  readonly revocations?: Revocations;
  readonly tenantMounts?: TenantMounts;
}

export interface Issuing {
  readonly issuer: Issuer;
  readonly audit: MemoryAudit;
  readonly warnings: string[];
  readonly environment: Record<string, string | undefined>;
}

export function entryOf(change: Partial<CredentialEntry> = {}): CredentialEntry {
  return {
    name: "key",
    kind: "token",
    username: null,
    keyId: null,
    keyAt: null,
    source: { from: "env", variable: "ROOT" },
    mint: null,
    hosts: ["api.example.com:443"],
    tenants: null,
    ttlSeconds: 900,
    maxUses: null,
    approval: false,
    ...change,
  };
}

/** A whole issuer with a catalogue of `entries` over an environment that tests may change. */
export function issuing(options: IssuingOptions): Issuing {
  const audit = new MemoryAudit();
  const warnings: string[] = [];
  const environment = options.environment ?? { ROOT };
  const warn = (text: string) => {
    warnings.push(text);
  };
  const { clock, vaults, store = null } = options;
  const uid = process.getuid?.() ?? null;
  const context = { clock, environment, uid, warn, store, ...(vaults === undefined ? {} : { vaults }) };
  const issuer = new Issuer({
    catalogue: Catalogue.open(options.entries ?? [entryOf()], context),
    audit,
    clock: options.clock,
    newId: () => randomBytes(16).toString("base64url"),
    salt: Buffer.alloc(32, 7),
    warn,
    tenantMounts: options.tenantMounts ?? null,
    ...(options.sessions === undefined ? {} : { sessions: options.sessions }),
    ...(options.revocations === undefined ? {} : { revocations: options.revocations }),
  });
  return { issuer, audit, warnings, environment };
}
