import type { Clock } from "../core/clock.ts";
import type { CustodyPort } from "../core/custody.ts";
import { Denial } from "../core/denial.ts";
import type { Lease, Permit } from "../core/exchange.ts";
import { LeaseGone } from "../core/lease-denials.ts";
import type { LeasePort, SigningPort } from "../core/ports.ts";
import { Breaker } from "./breaker.ts";
import { Drops } from "./drops.ts";
import { Fetches } from "./fetches.ts";
import type { KeeperEvents, KeeperOptions } from "./keeper-options.ts";
import { type CustodyState, KeptCustody } from "./kept-custody.ts";
import { Releases } from "./releases.ts";
import { Retired } from "./retired.ts";
import { RevokedIds } from "./revoked-ids.ts";
import { Shelf } from "./shelf.ts";
import { Signatures } from "./signatures.ts";
import type { Flight, Slot } from "./slot.ts";

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
export class LeaseKeeper implements LeasePort, SigningPort {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #shelf: Shelf;
  readonly #retired: Retired;
  readonly #events: Partial<KeeperEvents>;
  readonly #fetches: Fetches;
  readonly #releases = new Releases();
  readonly #revokedIds = new RevokedIds();
  readonly #drops: Drops;
  readonly #follows: boolean;
  readonly #breakerFailures: number;
  readonly #breakerOpenMs: number;
  readonly #closing = new AbortController();
  readonly #ticker: NodeJS.Timeout | null;
  readonly #signatures = new Signatures();
  #custodies = new Map<string, KeptCustody>();

  constructor(options: KeeperOptions) {
    const maxEntries = options.maxEntries ?? 10_000;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#events = options.events ?? {};
    this.#shelf = new Shelf(maxEntries, options.maxEntriesPerSession ?? Math.ceil(maxEntries / 4));
    this.#retired = new Retired(options.graceMs ?? 10_000, maxEntries, (custody, lease) =>
      this.#releases.add(this.#custodies.get(custody), lease),
    );
    this.#fetches = new Fetches({
      shelf: this.#shelf,
      retired: this.#retired,
      clock: this.#clock,
      random: this.#random,
      events: this.#events,
      maxFlights: options.maxFlights ?? 1_024,
      maxFlightsPerSession: options.maxFlightsPerSession ?? 128,
      custodyOf: (name) => this.#custodies.get(name),
      isRevoked: (custody, leaseId) => this.#revokedIds.has(custody, leaseId),
    });
    this.#drops = new Drops({
      shelf: this.#shelf,
      retired: this.#retired,
      releases: this.#releases,
      revokedIds: this.#revokedIds,
      clock: this.#clock,
      events: this.#events,
      custodyOf: (name) => this.#custodies.get(name),
    });
    this.#breakerFailures = options.breakerFailures ?? 5;
    this.#breakerOpenMs = options.breakerOpenMs ?? 800;
    const tickMs = options.tickMs ?? 1_000;
    this.#follows = options.follow ?? tickMs !== 0;
    this.useCustodies(options.custodies);
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

  /** Fetches a lease unless a live one is held. @throws Denial as `lease` */
  async fetchAhead(permit: Permit): Promise<void> {
    const { credential } = permit.destination;
    // Where somebody has to say yes nothing is asked before there is something to say yes to.
    if (credential !== null && this.#shelf.isBound(credential.custody, credential.name)) return;
    if (this.#shelf.find(permit)?.hasOne(this.#clock.monotonicMs()) === true) return;
    const slot = this.#slotFor(permit);
    if (slot.purpose === "request") slot.purpose = "ahead";
    await (slot.flight ?? this.#fetches.launch(slot, false)).landed;
  }

  /**
   * The upstream answered 401 to this lease. It is dropped once: a lease that was replaced already is left alone, so that
   * many 401s on one lease lead to one new fetch.
   * @returns `false` for a replacement that was refused as fast as the lease before it: it stays, nothing fresher is to be had
   */
  reject(lease: Lease): boolean {
    const slot = this.#fetches.slotOf(lease);
    if (slot === undefined) return true;
    const nowMs = this.#clock.monotonicMs();
    const isFresh = this.#isFreshlyRejected(slot, nowMs);
    this.#events.rejected?.(slot.custody, !isFresh);
    if (isFresh) return false;
    slot.rejectedAtMs = nowMs;
    slot.purpose = "rejected";
    slot.lease = null;
    this.#retired.add(lease, slot.custody, nowMs);
    return true;
  }

  /** Where custody does not know the lease any more, the next exchange asks for another one. @throws Denial as `SigningPort` */
  async sign(lease: Lease, input: string): Promise<string> {
    const custody = this.#custodies.get(this.#fetches.custodyOf(lease) ?? "");
    try {
      return await this.#signatures.ask(custody, lease, input, this.#closing.signal);
    } catch (thrown) {
      const slot = thrown instanceof LeaseGone ? this.#fetches.slotOf(lease) : undefined;
      if (slot !== undefined) {
        slot.lease = null;
        this.#retired.add(lease, slot.custody, this.#clock.monotonicMs());
      }
      throw thrown;
    }
  }

  /** The session ended or was revoked: its leases are zeroed now, and what is being fetched for it is refused. */
  dropSession(id: string, tenant?: string): void {
    const isOfSession = (session: string, of: string) => session === id && (tenant === undefined || of === tenant);
    const isIts = (slot: Slot): boolean => isOfSession(slot.session.id, slot.session.tenant);
    this.#drops.where(isIts, "lease_denied", "session dropped", true);
    this.#retired.revokeWhere((lease) => isOfSession(lease.scope.session, lease.scope.tenant));
  }

  /** Everything is zeroed now; what is being fetched is refused. The next exchange asks custody anew. */
  dropAll(): void {
    this.#drops.where(() => true, "lease_denied", "all leases were dropped");
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
    for (const [name, kept] of before) if (next.get(name) !== kept) kept.stop();
    if (this.#follows) for (const [name, kept] of next) if (before.get(name) !== kept) kept.follow();
    this.#drops.where(
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
    this.#revokedIds.sweep(nowMs);
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

  /** Zeroes everything and tells custodies so, as far as they answer within `ms`. To be closed afterwards. */
  async handBack(ms: number): Promise<void> {
    this.#fetches.close();
    this.#drops.where(() => true, "custody_unavailable", "the edge is shutting down", true);
    await this.#releases.settle(ms);
  }

  /** Ends the keeper: zeroes everything, cancels every call. Ports are closed by their owner. */
  close(): void {
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.#closing.abort();
    for (const custody of this.#custodies.values()) custody.stop();
    this.#releases.close();
    this.#fetches.close();
    this.#drops.where(() => true, "custody_unavailable", "the edge is shutting down");
    this.#retired.revokeWhere(() => true);
  }

  #isFreshlyRejected({ rejectedAtMs }: Slot, nowMs: number): boolean {
    return rejectedAtMs !== null && nowMs - rejectedAtMs < REJECT_COOLDOWN_MS;
  }

  async #fetch(permit: Permit): Promise<Lease> {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const slot = this.#slotFor(permit);
      if (!(await this.#landed(slot, permit))) continue;
      const lease = slot.take(this.#clock.monotonicMs());
      if (lease !== null) return lease;
    }
    throw new Denial("custody_unavailable", { cause: "other exchanges used up every lease that was fetched" });
  }

  /**
   * @returns `false` when the fetch was for exchanges of another kind than this one, so that this one has to ask for itself
   * @throws Denial as `lease`
   */
  async #landed(slot: Slot, permit: Permit): Promise<boolean> {
    const flight = this.#flightTo(slot);
    const isWaitedFor = slot.purpose === "request" || slot.purpose === "rejected";
    const isAsItself = isWaitedFor && slot.methodClass === permit.methodClass;
    try {
      await flight.landed;
    } catch (thrown) {
      if (!isAsItself && thrown instanceof Denial && thrown.code === "approval_pending") return false;
      throw thrown;
    }
    return slot.serves(permit.methodClass);
  }

  #slotFor(permit: Permit): Slot {
    const { credential } = permit.destination;
    if (credential === null || !permit.needsCredential) {
      throw new Denial("lease_unusable", { cause: "the permit carries no credential" });
    }
    return (
      this.#shelf.find(permit) ??
      this.#shelf.add(permit, credential.custody, credential.name, (evicted) => this.#evict(evicted))
    );
  }

  #flightTo(slot: Slot): Flight {
    if (slot.flight !== null) return slot.flight;
    if (slot.purpose !== "rejected") slot.purpose = "request";
    return this.#fetches.launch(slot, false);
  }

  /** Replaces a lease that is in use before it runs out. What goes wrong is told to `events`; the live lease goes on. */
  #refreshAhead(slot: Slot, nowMs: number): void {
    slot.refreshAtMs = nowMs + REFRESH_RETRY_MS * (1 + this.#random());
    slot.purpose = "refresh";
    try {
      this.#fetches.launch(slot, true);
    } catch (thrown) {
      this.#events.failed?.(slot.custody, Denial.from(thrown), true);
    }
  }

  #evict(slot: Slot): void {
    if (slot.lease !== null) this.#retired.add(slot.lease, slot.custody, this.#clock.monotonicMs(), true);
    slot.lease = null;
    this.#events.evicted?.(slot.custody);
  }

  #keep(name: string, port: CustodyPort): KeptCustody {
    const breaker = new Breaker(this.#breakerFailures, this.#breakerOpenMs * (0.75 + 0.25 * this.#random()));
    return new KeptCustody(name, port, this.#clock, breaker, this.#random, {
      breaker: (open) => this.#events.breaker?.(name, open),
      catalogueChanged: () => this.#drops.askAnew(name),
      // Revoked before anybody listened, perhaps: custody says so when it is asked.
      began: () => this.#drops.askAnew(name),
      revoked: (changes) => this.#drops.revoked(name, changes),
      reset: () => this.#drops.all(name),
    });
  }
}
