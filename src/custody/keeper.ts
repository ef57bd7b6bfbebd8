import type { Clock } from "../core/clock.ts";
import type { CustodyPort } from "../core/custody.ts";
import { Denial, type DenialCode } from "../core/denial.ts";
import type { Lease, Permit } from "../core/exchange.ts";
import type { LeasePort } from "../core/ports.ts";
import { Breaker } from "./breaker.ts";
import type { KeeperEvents, KeeperOptions } from "./keeper-options.ts";
import { type CustodyState, KeptCustody } from "./kept-custody.ts";
import { leaseOfGrant } from "./lease-of-grant.ts";
import { Retired } from "./retired.ts";
import { Shelf } from "./shelf.ts";
import type { Flight, Slot } from "./slot.ts";
import { zeroMaterial } from "./zero-material.ts";

/** A rejected lease is replaced; if its replacement is rejected within this time, the credential is not what is wrong, `ms`. */
const REJECT_COOLDOWN_MS = 5_000;
/** After a background refresh failed, the next attempt waits at least this long, `ms`. */
const REFRESH_RETRY_MS = 1_000;
/** How often one exchange looks again when others took every use of the lease it waited for. */
const MAX_ROUNDS = 64;
const HEALTH_UP_MS = 5_000;
const HEALTH_DOWN_MS = 1_000;

/**
 * This folder holds both sides of custody. At the edge: `keeper.ts` over one `CustodyPort` a custody, `embedded.ts` or
 * `remote.ts`. On the host side: `issuer.ts` with its catalogue, sources and minters, and `server.ts`, which answers for it on
 * the wire of `wire-schema.ts`.
 *
 * Leases at the edge, in memory only. A live lease comes back at once; otherwise custody is asked, once for everybody who
 * waits. It denies whenever it is in doubt: nothing is cached about a failure, and nothing outlives its time on the
 * monotonic clock, counted from before the request was sent.
 */
export class LeaseKeeper implements LeasePort {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #shelf: Shelf;
  readonly #retired: Retired;
  readonly #events: Partial<KeeperEvents>;
  readonly #maxFlights: number;
  readonly #maxFlightsPerSession: number;
  readonly #breakerFailures: number;
  readonly #breakerOpenMs: number;
  readonly #slotOf = new WeakMap<Lease, Slot>();
  readonly #closing = new AbortController();
  readonly #ticker: NodeJS.Timeout | null;
  #custodies = new Map<string, KeptCustody>();
  #flights = 0;

  constructor(options: KeeperOptions) {
    const maxEntries = options.maxEntries ?? 10_000;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#events = options.events ?? {};
    this.#shelf = new Shelf(maxEntries, options.maxEntriesPerSession ?? Math.ceil(maxEntries / 4));
    this.#retired = new Retired(options.graceMs ?? 10_000, maxEntries);
    this.#maxFlights = options.maxFlights ?? 1_024;
    this.#maxFlightsPerSession = options.maxFlightsPerSession ?? 128;
    this.#breakerFailures = options.breakerFailures ?? 5;
    this.#breakerOpenMs = options.breakerOpenMs ?? 800;
    this.useCustodies(options.custodies);
    const tickMs = options.tickMs ?? 1_000;
    this.#ticker = tickMs === 0 ? null : setInterval(() => this.tick(), tickMs);
    this.#ticker?.unref();
    if (tickMs !== 0) this.tick();
  }

  /**
   * The lease for one exchange: at once when a live one is held, else after custody was asked.
   * @throws Denial `custody_unavailable`, `lease_denied`, `lease_unusable`
   */
  lease(permit: Permit): Lease | Promise<Lease> {
    const slot = this.#shelf.find(permit);
    if (slot === undefined) return this.#fetch(permit);
    const nowMs = this.#clock.monotonicMs();
    const lease = slot.take(nowMs);
    if (lease === null) return this.#fetch(permit);
    slot.used = true;
    if (nowMs >= slot.refreshAtMs && slot.flight === null) this.#refreshAhead(slot, nowMs);
    return lease;
  }

  /**
   * The upstream answered 401 to this lease. It is dropped once: a lease that was replaced already is left alone, so that
   * many 401s on one lease lead to one new fetch.
   */
  reject(lease: Lease): void {
    const slot = this.#slotOf.get(lease);
    if (slot === undefined || slot.lease !== lease) return;
    const nowMs = this.#clock.monotonicMs();
    const isFresh = this.#isFreshlyRejected(slot, nowMs);
    this.#events.rejected?.(slot.custody, !isFresh);
    if (isFresh) return;
    slot.rejectedAtMs = nowMs;
    slot.purpose = "rejected";
    slot.lease = null;
    this.#retired.add(lease, nowMs);
  }

  /** The session ended or was revoked: its leases are zeroed now, and what is being fetched for it is refused. */
  dropSession(id: string, tenant?: string): void {
    const isOfSession = (session: string, of: string) => session === id && (tenant === undefined || of === tenant);
    this.#dropWhere((slot) => isOfSession(slot.session.id, slot.session.tenant), "lease_denied", "session dropped");
    this.#retired.revokeWhere((lease) => isOfSession(lease.scope.session, lease.scope.tenant));
  }

  /** Everything is zeroed now; what is being fetched is refused. The next exchange asks custody anew. */
  dropAll(): void {
    this.#dropWhere(() => true, "lease_denied", "all leases were dropped");
    this.#retired.revokeWhere(() => true);
  }

  /**
   * Takes a new set of custodies after a reload. Leases of a custody whose port object stayed are kept; those of one that
   * changed or went away leave at once. The caller closes ports that are no longer used.
   */
  useCustodies(custodies: ReadonlyMap<string, CustodyPort>): void {
    const next = new Map<string, KeptCustody>();
    for (const [name, port] of custodies) {
      const known = this.#custodies.get(name);
      next.set(name, known?.port === port ? known : this.#keep(name, port));
    }
    const before = this.#custodies;
    this.#custodies = next;
    this.#dropWhere(
      (slot) => before.get(slot.custody) !== next.get(slot.custody),
      "custody_unavailable",
      "custody was reconfigured",
    );
  }

  /** One entry a custody, for readiness and metrics. */
  state(): readonly CustodyState[] {
    const nowMs = this.#clock.monotonicMs();
    const live = new Map<string, number>();
    for (const { custody, lease } of this.#shelf.slots()) {
      if (lease?.isLive(nowMs) === true) live.set(custody, (live.get(custody) ?? 0) + 1);
    }
    return [...this.#custodies.values()].map((custody) => custody.state(live.get(custody.name) ?? 0));
  }

  /** Slots held, for metrics. */
  get size(): number {
    return this.#shelf.size;
  }

  /** Zeroes what is dead and looks at the health of custodies. Runs by itself every `tickMs`. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#retired.sweep(nowMs);
    for (const slot of this.#shelf.slots()) {
      if (slot.lease?.isLive(nowMs) === false) {
        slot.lease.revoke();
        slot.lease = null;
      }
      const isNeeded = slot.lease !== null || slot.flight !== null || this.#isFreshlyRejected(slot, nowMs);
      if (!isNeeded) this.#shelf.remove(slot, new Denial("lease_unusable", { cause: "the lease expired" }));
    }
    // Each check owns its outcome and never rejects.
    for (const custody of this.#custodies.values())
      void custody.check(HEALTH_UP_MS, HEALTH_DOWN_MS, this.#closing.signal);
  }

  /** Ends the keeper: zeroes everything, cancels every call. Ports are closed by their owner. */
  close(): void {
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.#closing.abort();
    this.#dropWhere(() => true, "custody_unavailable", "the edge is shutting down");
    this.#retired.revokeWhere(() => true);
  }

  #isFreshlyRejected({ rejectedAtMs }: Slot, nowMs: number): boolean {
    return rejectedAtMs !== null && nowMs - rejectedAtMs < REJECT_COOLDOWN_MS;
  }

  async #fetch(permit: Permit): Promise<Lease> {
    const { credential } = permit.destination;
    if (credential === null || !permit.needsCredential) {
      throw new Denial("lease_unusable", { cause: "the permit carries no credential" });
    }
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const slot =
        this.#shelf.find(permit) ??
        this.#shelf.add(permit, credential.custody, credential.name, (evicted) => this.#evict(evicted));
      await (slot.flight ?? this.#launch(slot, false)).landed;
      const lease = slot.take(this.#clock.monotonicMs());
      if (lease !== null) return lease;
    }
    throw new Denial("custody_unavailable", { cause: "other exchanges used up every lease that was fetched" });
  }

  /** Replaces a lease that is in use before it runs out. What goes wrong is told to `events`; the live lease goes on. */
  #refreshAhead(slot: Slot, nowMs: number): void {
    slot.refreshAtMs = nowMs + REFRESH_RETRY_MS * (1 + this.#random());
    slot.purpose = "refresh";
    try {
      this.#launch(slot, true);
    } catch (thrown) {
      this.#events.failed?.(slot.custody, Denial.from(thrown), true);
    }
  }

  /** Starts a fetch. @throws Denial when it must not start; a slot without a lease is then not kept */
  #launch(slot: Slot, background: boolean): Flight {
    const custody = this.#custodies.get(slot.custody);
    const refusal = this.#mayNotLaunch(slot, custody);
    if (custody === undefined || refusal !== null) {
      const denial = new Denial("custody_unavailable", { cause: `custody "${slot.custody}" ${refusal}` });
      if (slot.lease === null) this.#shelf.remove(slot, denial);
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

  #mayNotLaunch(slot: Slot, custody: KeptCustody | undefined): string | null {
    if (custody === undefined) return "is not configured";
    if (this.#closing.signal.aborted) return "is closed: the edge is shutting down";
    if (this.#flights >= this.#maxFlights) return "is asked for too many leases at once";
    if (!this.#shelf.enter(slot, this.#maxFlightsPerSession)) return "is asked for too many leases by one session";
    if (custody.admits()) return null;
    this.#shelf.leave(slot);
    return "is down: its breaker is open";
  }

  async #fly(slot: Slot, custody: KeptCustody, cancelled: AbortSignal, background: boolean): Promise<void> {
    const request = slot.request();
    const sentAtMs = this.#clock.monotonicMs();
    try {
      const grant = await custody.ask(request, cancelled);
      // Dropped in the very moment of the answer: the lease is nobody's.
      if (slot.gone !== null) {
        zeroMaterial(grant.material);
        throw slot.gone;
      }
      const nowMs = this.#clock.monotonicMs();
      this.#land(slot, leaseOfGrant(request, grant, sentAtMs, nowMs), grant.maxUses, nowMs);
      this.#events.granted?.(custody.name, nowMs - sentAtMs);
    } catch (thrown) {
      const denial = slot.gone ?? Denial.from(thrown);
      this.#fail(slot, denial);
      this.#events.failed?.(custody.name, denial, background);
      throw denial;
    } finally {
      slot.flight = null;
      this.#flights--;
      this.#shelf.leave(slot);
    }
  }

  #land(slot: Slot, lease: Lease, maxUses: number | null, nowMs: number): void {
    if (slot.lease !== null) this.#retired.add(slot.lease, nowMs);
    slot.lease = lease;
    slot.handsLeft = maxUses ?? Number.POSITIVE_INFINITY;
    slot.refreshAtMs = lease.grantedAtMs + (lease.expiresAtMs - lease.grantedAtMs) * (0.7 + 0.2 * this.#random());
    slot.purpose = "request";
    this.#slotOf.set(lease, slot);
  }

  /** Nothing is kept about a failure. A refusal by custody also ends the lease that is held: its right is gone. */
  #fail(slot: Slot, denial: Denial): void {
    const nowMs = this.#clock.monotonicMs();
    const mayGoOn = denial.code !== "lease_denied" && slot.lease?.isLive(nowMs) === true;
    if (mayGoOn) return;
    slot.lease?.revoke();
    slot.lease = null;
    this.#shelf.remove(slot, denial);
  }

  #evict(slot: Slot): void {
    if (slot.lease !== null) this.#retired.add(slot.lease, this.#clock.monotonicMs());
    slot.lease = null;
    this.#events.evicted?.(slot.custody);
  }

  #dropWhere(matches: (slot: Slot) => boolean, code: DenialCode, cause: string): void {
    for (const slot of this.#shelf.slots()) {
      if (!matches(slot)) continue;
      slot.lease?.revoke();
      slot.lease = null;
      this.#shelf.remove(slot, new Denial(code, { cause }));
      slot.flight?.controller.abort();
    }
  }

  #keep(name: string, port: CustodyPort): KeptCustody {
    const breaker = new Breaker(this.#breakerFailures, this.#breakerOpenMs * (0.75 + 0.25 * this.#random()));
    return new KeptCustody(name, port, this.#clock, breaker, (open) => this.#events.breaker?.(name, open));
  }
}
