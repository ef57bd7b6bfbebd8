import { formatReference } from "../../core/canonical-reference.ts";
import type { CredentialEntry } from "../../core/credential.ts";
import type { LeaseRequest, LeaseSession } from "../../core/custody.ts";
import { zeroMaterial } from "../../core/material.ts";
import { referenceOfSource } from "../../core/source-reference.ts";
import type { VaultSourceSpec } from "../../core/vault.ts";
import { type SourceContext, SourceError } from "../sources/source.ts";
import { askingMs } from "../sources/vault.ts";
import type { VaultClient } from "../vault/client.ts";
import { encoded, placeOf } from "../vault/kv.ts";
import { readingOf, type VaultLease } from "../vault/lease.ts";
import { rootIn } from "../vault/root.ts";
import type { VaultUse } from "../vault/servers.ts";
import type { Minted, Minter } from "./minter.ts";
import { mintedOf } from "./static.ts";

/** A shared credential with less life than this is replaced, `ms`: nobody is given the end of one. */
const LEAST_LIFE_MS = 5_000;
/** No lease lives longer, renewals included, `ms`: whoever has not given it back by then is not going to. */
const LONGEST_LEASE_MS = 15 * 60_000;

/**
 * Credentials that an engine of a Vault makes: one for each lease, or one for the leases of a tenant, which custody renews while it
 * can and replaces when it cannot. Either way it is revoked there once the last lease that uses it is over.
 */
export class VaultDynamicMinter implements Minter {
  readonly reference: string;
  readonly timeoutMs: number;
  /** With custody's token, which is revoked then. */
  readonly endsWithCustody = true;
  readonly #entry: CredentialEntry;
  readonly #spec: VaultSourceSpec;
  readonly #context: SourceContext;
  readonly #use: VaultUse;
  /** By tenant, where they share. */
  readonly #held = new Map<string, VaultLease>();
  readonly #making = new Map<string, Promise<VaultLease>>();
  /** Sessions that were given a shared one. */
  readonly #given = new WeakMap<VaultLease, Set<string>>();
  #isClosed = false;

  constructor(entry: CredentialEntry, spec: VaultSourceSpec, context: SourceContext) {
    if (context.vaults === undefined) throw new TypeError("an engine of a Vault needs the Vaults of the process");
    this.#entry = entry;
    this.#spec = spec;
    this.#context = context;
    this.#use = context.vaults.use(spec.server);
    this.reference = formatReference(referenceOfSource(spec));
    this.timeoutMs = askingMs(spec);
  }

  async mint(ask: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted> {
    const client = await this.#use.client();
    if (this.#spec.sharedBy === "lease") return this.#minted(client, await this.#make(client, signal));
    const lease = await this.#shared(client, ask.session, fresh);
    this.#sessionsOf(lease).add(ask.session.id);
    return this.#minted(client, lease);
  }

  close(): void {
    this.#isClosed = true;
    for (const lease of this.#held.values()) lease.isHeld = false;
    this.#held.clear();
    // What edges still use is revoked when they are done, by the server's own client.
    this.#use.release();
  }

  #make(client: VaultClient, signal: AbortSignal): Promise<VaultLease> {
    const { mount, path, field } = this.#spec;
    const read = (data: Readonly<Record<string, unknown>>) => ({
      ...rootIn(data, this.#entry.kind, field, placeOf(client, this.#spec)),
      expiresAtMs: null,
    });
    return client.leases.make(encoded(mount, path), read, signal);
  }

  async #shared(client: VaultClient, { id, tenant }: LeaseSession, fresh: boolean): Promise<VaultLease> {
    const held = this.#held.get(tenant);
    // Many sessions are refused the same one at once: the first has another one made, which the others have not tried yet.
    const isRefused = held !== undefined && fresh && this.#sessionsOf(held).has(id);
    const leftMs = held === undefined ? 0 : held.endsAtMs - this.#context.clock.monotonicMs();
    if (held !== undefined && !isRefused && !held.isOver && leftMs >= LEAST_LIFE_MS) return held;
    let making = this.#making.get(tenant);
    if (making === undefined) {
      making = this.#makeShared(client, tenant).finally(() => this.#making.delete(tenant));
      this.#making.set(tenant, making);
    }
    return await making;
  }

  async #makeShared(client: VaultClient, tenant: string): Promise<VaultLease> {
    // Those who wait share it: it is not theirs to cut off.
    const lease = await this.#make(client, new AbortController().signal);
    const before = this.#held.get(tenant);
    if (before !== undefined) this.#letGo(client, tenant, before);
    if (this.#isClosed) return lease;
    this.#held.set(tenant, lease);
    client.leases.keepAlive(lease, () => {
      if (this.#held.get(tenant) === lease) this.#held.delete(tenant);
    });
    return lease;
  }

  #sessionsOf(lease: VaultLease): Set<string> {
    const sessions = this.#given.get(lease) ?? new Set();
    this.#given.set(lease, sessions);
    return sessions;
  }

  #letGo(client: VaultClient, tenant: string, lease: VaultLease): void {
    this.#held.delete(tenant);
    lease.isHeld = false;
    client.leases.settle(lease);
  }

  #minted(client: VaultClient, lease: VaultLease): Minted {
    const user = lease.enter(this.#context.clock.monotonicMs() + LONGEST_LEASE_MS);
    const release = async (): Promise<void> => {
      lease.leave(user);
      client.leases.settle(lease);
    };
    const reading = readingOf(lease);
    try {
      const minted = mintedOf(this.#entry, reading, this.#context.clock);
      if (!this.#isClosed) return { ...minted, release };
      zeroMaterial(minted.material);
      throw new SourceError(`credential "${this.#entry.name}" was changed by a reload in this very moment: ask again`);
    } catch (thrown) {
      reading.secret.zero();
      void release();
      throw thrown;
    }
  }
}
