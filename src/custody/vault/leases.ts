import type { Clock } from "../../core/clock.ts";
import type { SourceReading } from "../sources/source.ts";
import { countAt, type Json, says } from "./answer.ts";
import type { TokenAnswer, VaultClient } from "./client.ts";
import { VaultFault } from "./fault.ts";
import { leaseOf, type VaultLease } from "./lease.ts";
import { backoffMs, Renewal } from "./renewal.ts";
import type { Timers } from "./timers.ts";
import type { VaultToken } from "./token.ts";
import type { TokenKeeper } from "./token-keeper.ts";

export interface VaultLeasesOptions {
  readonly client: VaultClient;
  readonly keeper: TokenKeeper;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly warn: (text: string) => void;
}

/** How often leases are looked at whose users do not say when they are done, `ms`. */
const SWEEP_MS = 5_000;
const REVOKE_FIRST_MS = 1_000;
const REVOKE_MOST_MS = 60_000;

/** The dynamic credentials of one Vault: made, renewed while they are shared, revoked when the last lease that uses them is over. */
export class VaultLeases {
  readonly #options: VaultLeasesOptions;
  readonly #leases = new Set<VaultLease>();
  #stopSweep: (() => void) | null = null;
  #isClosed = false;
  #warnedOfPolicy = false;
  readonly #waiting: (() => void)[] = [];

  constructor(options: VaultLeasesOptions) {
    this.#options = options;
  }

  /**
   * Has a credential made.
   * @param path percent-encoded
   * @param read takes from `data` what is leased
   * @param signal nobody waits any more: what is made all the same is revoked
   * @throws VaultFault
   */
  async make(path: string, read: (data: Json) => SourceReading, signal: AbortSignal): Promise<VaultLease> {
    const { client } = this.#options;
    const { where } = client.http;
    // Counted before it exists: a login that comes meanwhile must not end the token that it is made with.
    const onSent = (token: VaultToken) => {
      token.leases++;
      return () => this.#options.keeper.leaseOver(token);
    };
    // Not cut off by `signal`: of a credential that was made and never heard of nobody could be rid.
    const answer = await client.ask({ method: "GET", path }, false, undefined, onSent);
    if (answer.status !== 200) throw absent(where, path, answer);
    let lease: VaultLease;
    try {
      lease = leaseOf(answer, where, read);
    } catch (thrown) {
      this.#options.keeper.leaseOver(answer.token);
      void this.#revokeUnread(answer.json);
      throw thrown;
    }
    this.#leases.add(lease);
    this.#sweepLater();
    if (!signal.aborted && !this.#isClosed) return lease;
    this.settle(lease);
    throw new VaultFault("refused", `${where}: nobody waited for the credential any more`);
  }

  /** Renews a lease that is shared, for as long as it can be; `onEnd` is told once it must be replaced. */
  keepAlive(lease: VaultLease, onEnd: () => void): void {
    lease.isHeld = true;
    const { timers, random, clock } = this.#options;
    const renewal = new Renewal(random);
    const end = () => {
      lease.isHeld = false;
      onEnd();
      this.settle(lease);
    };
    const watch = () => {
      if (!lease.isHeld || this.#isClosed) return;
      const waitMs = renewal.next(lease.endsAtMs - clock.monotonicMs());
      if (waitMs === null || lease.token.isRetired) return end();
      timers.after(waitMs, () => void renew());
    };
    const renew = async () => {
      if (!lease.isHeld || this.#isClosed) return;
      if (lease.isRenewable) await this.#renew(lease);
      if (lease.isOver) end();
      else watch();
    };
    watch();
  }

  /** Revokes it if nobody uses it and nobody is going to. */
  settle(lease: VaultLease): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (lease.isHeld || lease.isUsed(nowMs) || !this.#leases.has(lease)) return;
    if (lease.isOver || lease.id === "" || nowMs >= lease.endsAtMs) return this.#forget(lease);
    if (nowMs >= lease.notBeforeMs) void this.#revoke(lease);
  }

  /** Resolves when no lease is left. */
  allOver(): Promise<void> {
    if (this.#leases.size === 0 || this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Ends every lease that does not end with the token. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopSweep?.();
    const left = [...this.#leases];
    await Promise.all(left.filter(({ token }) => !token.isOurs || token.isBatch).map((lease) => this.#revoke(lease)));
    for (const lease of left) this.#forget(lease);
  }

  async #renew(lease: VaultLease): Promise<void> {
    const { client } = this.#options;
    try {
      const body = { lease_id: lease.id };
      const answer = await client.ask({ method: "POST", path: "sys/leases/renew", body }, false);
      if (answer.status === 200) {
        lease.expiresAtMs = answer.sentAtMs + countAt(answer.json, "lease_duration", client.http.where) * 1000;
        lease.isRenewable = answer.json["renewable"] === true;
      } else if (says(answer.json, "errors", /not found/i)) lease.isOver = true;
      else lease.isRenewable = false;
    } catch {
      // Noted by the client. The lease goes on until its time, and the next look comes sooner.
    }
  }

  async #revoke(lease: VaultLease): Promise<void> {
    const { client, clock, random } = this.#options;
    lease.notBeforeMs = Number.POSITIVE_INFINITY;
    try {
      const body = { lease_id: lease.id };
      // 400: there is no such lease any more. 202: queued there, and tried again there until it is done.
      await client.ask({ method: "POST", path: "sys/leases/revoke", body }, false);
      this.#forget(lease);
    } catch (thrown) {
      if (thrown instanceof VaultFault && thrown.kind === "forbidden") {
        this.#mayNotRevoke();
        this.#forget(lease);
        return;
      }
      lease.revokeFailures++;
      const waitMs = backoffMs(lease.revokeFailures, REVOKE_FIRST_MS, REVOKE_MOST_MS, random);
      lease.notBeforeMs = clock.monotonicMs() + waitMs;
    }
  }

  /** A credential that was made but cannot be used. */
  async #revokeUnread(json: Json): Promise<void> {
    const id = json["lease_id"];
    if (typeof id !== "string" || id === "") return;
    const request = { method: "POST", path: "sys/leases/revoke", body: { lease_id: id } } as const;
    await this.#options.client.ask(request, false).catch(() => undefined);
  }

  #mayNotRevoke(): void {
    if (this.#warnedOfPolicy) return;
    this.#warnedOfPolicy = true;
    const { client, warn } = this.#options;
    warn(
      `${client.http.where}: dynamic credentials live until their lease ends by itself: give a policy of custody's role update on sys/leases/revoke`,
    );
  }

  #forget(lease: VaultLease): void {
    if (!this.#leases.delete(lease)) return;
    lease.isOver = true;
    lease.reading.secret.zero();
    this.#options.keeper.leaseOver(lease.token);
    if (this.#leases.size === 0) for (const done of this.#waiting.splice(0)) done();
  }

  #sweepLater(): void {
    if (this.#isClosed || this.#stopSweep !== null) return;
    this.#stopSweep = this.#options.timers.after(SWEEP_MS, () => {
      this.#stopSweep = null;
      for (const lease of this.#leases) this.settle(lease);
      if (this.#leases.size > 0) this.#sweepLater();
    });
  }
}

function absent(where: string, path: string, { status, json }: TokenAnswer): VaultFault {
  if (status === 404)
    return new VaultFault("absent", `${where}: there is nothing at ${path}: check mount, role and namespace`);
  const isUnknown = says(json, "errors", /unknown role|role .*not found|could not find/i);
  return new VaultFault(
    "refused",
    `${where} makes no credential at ${path} (status ${status}): ${isUnknown ? "there is no role of this name" : "look at the role and at the audit log of the server"}`,
  );
}
