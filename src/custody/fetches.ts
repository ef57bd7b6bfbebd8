import type { Clock } from "../core/clock.ts";
import { Denial } from "../core/denial.ts";
import type { Lease } from "../core/exchange.ts";
import type { KeeperEvents } from "./keeper-options.ts";
import type { KeptCustody } from "./kept-custody.ts";
import { leaseOfGrant } from "./lease-of-grant.ts";
import type { Retired } from "./retired.ts";
import type { Shelf } from "./shelf.ts";
import type { Flight, Slot } from "./slot.ts";
import { zeroMaterial } from "../core/material.ts";

export interface FetchesOptions {
  readonly shelf: Shelf;
  readonly retired: Retired;
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: Partial<KeeperEvents>;
  readonly maxFlights: number;
  readonly maxFlightsPerSession: number;
  readonly custodyOf: (name: string) => KeptCustody | undefined;
  /** Whether a lease was revoked while it was on its way. */
  readonly isRevoked: (custody: string, leaseId: string) => boolean;
}

/** The way of a lease from custody into its slot: one flight a slot, bounded in all and for each session. */
export class Fetches {
  readonly #options: FetchesOptions;
  readonly #slotOf = new WeakMap<Lease, Slot>();
  #flights = 0;
  #closed = false;

  constructor(options: FetchesOptions) {
    this.#options = options;
  }

  /**
   * Starts a fetch into a slot that has none.
   * @param background nobody waits for it: what goes wrong is told to `events`, and a live lease goes on
   * @throws Denial `custody_unavailable` when it must not start; a slot without a lease is then not kept
   */
  launch(slot: Slot, background: boolean): Flight {
    const custody = this.#options.custodyOf(slot.custody);
    const refusal = this.#mayNotLaunch(slot, custody);
    if (custody === undefined || refusal !== null) {
      const denial = new Denial("custody_unavailable", { cause: `custody "${slot.custody}" ${refusal}` });
      if (slot.lease === null) this.#options.shelf.remove(slot, denial);
      throw denial;
    }
    this.#flights++;
    const controller = new AbortController();
    const landed = this.#fly(slot, custody, controller.signal, background);
    // Those who wait get the denial; a background fetch has nobody but `events`, which was told.
    landed.catch(() => undefined);
    slot.flight = { landed, controller };
    return slot.flight;
  }

  /** Name of the custody that a lease came from, also of one that was replaced. */
  custodyOf(lease: Lease): string | undefined {
    return this.#slotOf.get(lease)?.custody;
  }

  /** The slot that holds this very lease, or `undefined` when it was replaced or dropped. */
  slotOf(lease: Lease): Slot | undefined {
    const slot = this.#slotOf.get(lease);
    return slot?.lease === lease ? slot : undefined;
  }

  /** Nothing starts any more. */
  close(): void {
    this.#closed = true;
  }

  #mayNotLaunch(slot: Slot, custody: KeptCustody | undefined): string | null {
    const { shelf, maxFlights, maxFlightsPerSession } = this.#options;
    if (custody === undefined) return "is not configured";
    if (this.#closed) return "is closed: the edge is shutting down";
    if (this.#flights >= maxFlights) return "is asked for too many leases at once";
    if (!shelf.enter(slot, maxFlightsPerSession)) return "is asked for too many leases by one session";
    if (custody.admits()) return null;
    shelf.leave(slot);
    return "is down: its breaker is open";
  }

  async #fly(slot: Slot, custody: KeptCustody, cancelled: AbortSignal, background: boolean): Promise<void> {
    const { clock, events, shelf } = this.#options;
    const request = slot.request();
    const sentAtMs = clock.monotonicMs();
    try {
      const grant = await custody.ask(request, cancelled);
      const nowMs = clock.monotonicMs();
      if (slot.gone !== null || slot.isVoid || isOutdated(slot, request.purpose, sentAtMs)) {
        zeroMaterial(grant.material);
        // Dropped in the very moment of the answer: refused. Void or outdated: whoever waits asks again.
        if (slot.gone !== null) throw slot.gone;
        return;
      }
      const lease = leaseOfGrant(request, grant, sentAtMs, nowMs);
      if (this.#options.isRevoked(custody.name, lease.id)) {
        lease.revoke();
        throw new Denial("lease_denied", { cause: "the lease was revoked on its way" });
      }
      this.#land(slot, lease, grant.maxUses, nowMs);
      events.granted?.(custody.name, nowMs - sentAtMs);
    } catch (thrown) {
      // Cancelled by a reset: whoever waits asks again.
      if (slot.gone === null && slot.isVoid) return;
      const denial = slot.gone ?? Denial.from(thrown);
      this.#fail(slot, denial);
      events.failed?.(custody.name, denial, background);
      throw denial;
    } finally {
      slot.flight = null;
      this.#flights--;
      shelf.leave(slot);
    }
  }

  #land(slot: Slot, lease: Lease, maxUses: number | null, nowMs: number): void {
    const { retired, shelf } = this.#options;
    if (slot.lease !== null) retired.add(slot.lease, slot.custody, nowMs);
    if (lease.methodClass === null) {
      if (slot.bound) shelf.learn(slot, false);
    } else this.#makeWay(shelf.bind(slot), nowMs);
    slot.lease = lease;
    slot.voided = null;
    slot.handsLeft = maxUses ?? Number.POSITIVE_INFINITY;
    const spread = 0.7 + 0.2 * this.#options.random();
    const isOfNow = lease.grantedAtMs >= slot.askAnewAtMs;
    slot.refreshAtMs = isOfNow ? lease.grantedAtMs + (lease.expiresAtMs - lease.grantedAtMs) * spread : 0;
    // Somebody said yes to this one: the next one waits until an exchange asks for it.
    if (lease.methodClass !== null) slot.refreshAtMs = Number.POSITIVE_INFINITY;
    slot.purpose = "request";
    this.#slotOf.set(lease, slot);
  }

  /** Two fetches for one class met: the newer lease stays. */
  #makeWay(other: Slot | null, nowMs: number): void {
    if (other === null) return;
    if (other.lease !== null) this.#options.retired.add(other.lease, other.custody, nowMs);
    other.lease = null;
    this.#options.shelf.remove(other, new Denial("lease_unusable", { cause: "another lease took its place" }));
  }

  /** Nothing is kept about a failure. A refusal by custody also ends the lease that is held: its right is gone. */
  #fail(slot: Slot, denial: Denial): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (denial.code === "approval_pending") {
      this.#options.shelf.learn(slot, true);
      // A lease that is held goes on to its end: asking again would only make operators work.
      slot.refreshAtMs = Number.POSITIVE_INFINITY;
    }
    const mayGoOn = denial.code !== "lease_denied" && slot.lease?.isLive(nowMs) === true;
    if (mayGoOn) return;
    slot.lease?.revoke();
    slot.lease = null;
    this.#options.shelf.remove(slot, denial);
  }
}

/** Asked for before the upstream refused the credential: the answer may be that same credential out of a cache. */
function isOutdated({ rejectedAtMs }: Slot, purpose: string, sentAtMs: number): boolean {
  return purpose !== "rejected" && rejectedAtMs !== null && sentAtMs < rejectedAtMs;
}
