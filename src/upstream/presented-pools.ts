import { sessionKey } from "../core/session-key.ts";
import type { Clock } from "../core/clock.ts";
import type { Deadlined, DeadlineSweep } from "../core/deadline.ts";
import type { Seat } from "../core/roster.ts";
import { Denial } from "../core/denial.ts";
import type { Permit } from "../core/exchange.ts";
import { LeaseGone } from "../core/lease-denials.ts";
import type { ClientIdentity } from "../core/wire.ts";

/** A pool whose connections present one certificate. */
export interface PresentedPool {
  /** Connections may be open, but none carries an exchange, and none is being opened. */
  readonly isIdle: boolean;
  /** Keeps no connection from here on: idle ones end now, the others after their exchange. Whoever waits is given `gone`. */
  retire(gone: Denial): void;
}

interface Presented {
  readonly identity: ClientIdentity;
  readonly session: string;
  /** Session, destination and authority: one certificate at a time is leased for it. */
  readonly place: string;
  /** Nobody is to find it any more. */
  readonly forget: () => void;
  retired: boolean;
}

/** How often the leases behind the pools are looked at, `ms`. */
const LOOK_MS = 1_000;

/**
 * The lives of the pools that present certificates. Each belongs to one lease: it is retired when a later lease takes its place,
 * and when its own is dead. Their number is bounded in all and for each session, since each holds a TLS context, and a guest
 * can walk through the names of a wildcard.
 */
export class PresentedPools implements Deadlined {
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly #clock: Clock;
  readonly #sweep: DeadlineSweep;
  readonly #most: number;
  readonly #mostPerSession: number;
  #seat: Seat | null = null;
  /** Least recently used first. */
  readonly #pools = new Map<PresentedPool, Presented>();

  constructor(clock: Clock, sweep: DeadlineSweep, most = 512, mostPerSession = 128) {
    this.#clock = clock;
    this.#sweep = sweep;
    this.#most = most;
    this.#mostPerSession = mostPerSession;
  }

  /** Ahead of a new pool. @throws Denial `upstream_unreachable` when all that could leave are in use */
  makeRoom(permit: Permit): void {
    const session = sessionKey(permit.session);
    const ofSession = [...this.#pools].filter(([, presented]) => presented.session === session);
    if (ofSession.length >= this.#mostPerSession) this.#evict(ofSession);
    else if (this.#pools.size >= this.#most) this.#evict([...this.#pools]);
  }

  /** @param forget called once the pool has to leave: it must not be found again */
  add(pool: PresentedPool, identity: ClientIdentity, permit: Permit, forget: () => void): void {
    const session = sessionKey(permit.session);
    const place = `${session} ${permit.destination.name} ${permit.authority.text}`;
    let isOutdated = false;
    for (const [other, presented] of this.#pools) {
      if (presented.place !== place || presented.identity.key === identity.key) continue;
      if (presented.identity.grantedAtMs <= identity.grantedAtMs) this.#retire(other, presented);
      else isOutdated = true;
    }
    const presented: Presented = { identity, session, place, forget, retired: false };
    this.#pools.set(pool, presented);
    // An exchange that holds the lease before the one that is in use now gets a connection of its own.
    if (isOutdated) this.#retire(pool, presented);
    if (this.deadlineMs !== Number.POSITIVE_INFINITY) return;
    this.#seat = this.#sweep.add(this);
    this.deadlineMs = this.#clock.monotonicMs() + LOOK_MS;
  }

  /** It was used just now: others leave before it. */
  touch(pool: PresentedPool): void {
    const presented = this.#pools.get(pool);
    if (presented === undefined) return;
    this.#pools.delete(pool);
    this.#pools.set(pool, presented);
  }

  /** Its last connection is gone. */
  left(pool: PresentedPool): void {
    this.#pools.delete(pool);
    if (this.#pools.size > 0) return;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    if (this.#seat !== null) this.#sweep.delete(this.#seat);
  }

  onDeadline(nowMs: number): void {
    this.deadlineMs = nowMs + LOOK_MS;
    for (const [pool, presented] of this.#pools) {
      if (presented.identity.isLive(nowMs)) continue;
      this.#retire(pool, presented);
      if (pool.isIdle) this.left(pool);
    }
  }

  #retire(pool: PresentedPool, presented: Presented): void {
    if (presented.retired) return;
    presented.retired = true;
    presented.forget();
    pool.retire(new LeaseGone("the lease of the client certificate ended or was replaced"));
  }

  #evict(among: readonly (readonly [PresentedPool, Presented])[]): void {
    const victim = among.find(([pool]) => pool.isIdle);
    if (victim === undefined)
      throw new Denial("upstream_unreachable", { cause: "too many connections with client certificates are in use" });
    this.#retire(...victim);
    this.left(victim[0]);
  }
}
