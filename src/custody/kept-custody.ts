import type { Clock } from "../core/clock.ts";
import {
  type CustodyHealth,
  type CustodyPort,
  type HeldLease,
  type LeaseGrant,
  LeaseRefusal,
  type LeaseRequest,
} from "../core/custody.ts";
import { Denial } from "../core/denial.ts";
import type { Breaker } from "./breaker.ts";
import { type FeedEvents, FeedFollower, type FeedState } from "./feed-follower.ts";
import { within } from "./within.ts";
import { zeroMaterial } from "../core/material.ts";

/** What the keeper knows about one custody. */
export interface CustodyState {
  readonly custody: string;
  /** The last contact, of whatever kind, was good and the breaker is closed. `false` until the first contact. */
  readonly up: boolean;
  readonly breakerOpen: boolean;
  /** What custody tells against itself while it answers, or `null`. */
  readonly problem: string | null;
  /** Monotonic ms of the last good contact, or `null`. */
  readonly lastOkMonoMs: number | null;
  readonly liveLeases: number;
  /** Whether what is revoked there is heard of at once. Without it leases run on to their own end, no longer. */
  readonly feed: FeedState;
}

export interface KeptCustodyEvents extends FeedEvents {
  breaker(open: boolean): void;
  /** What may be leased is not what it was: leases that are held may have lost their right. */
  catalogueChanged(): void;
}

/** One custody as the keeper uses it: time-boxed calls behind a breaker, and a health check that finds it again. */
export class KeptCustody {
  readonly name: string;
  readonly port: CustodyPort;
  readonly #clock: Clock;
  readonly #breaker: Breaker;
  readonly #events: KeptCustodyEvents;
  readonly #feed: FeedFollower;
  #health: CustodyHealth = { catalogue: null, problem: null };
  #reachable = false;
  #lastOkMs: number | null = null;
  #checkedAtMs: number | null = null;
  #checking = false;
  #toldOpen = false;

  constructor(
    name: string,
    port: CustodyPort,
    clock: Clock,
    breaker: Breaker,
    random: () => number,
    events: KeptCustodyEvents,
  ) {
    this.name = name;
    this.port = port;
    this.#clock = clock;
    this.#breaker = breaker;
    this.#events = events;
    this.#feed = new FeedFollower(port, clock, random, events);
  }

  /** Follows what is revoked there, until `stop`. */
  follow(): void {
    // It owns its outcome and never rejects.
    void this.#feed.run();
  }

  stop(): void {
    this.#feed.stop();
  }

  /** Gives a lease back. Never rejects. @returns whether custody is there */
  async release(held: HeldLease): Promise<boolean> {
    if (this.#breaker.isOpen) return false;
    try {
      await within(
        this.port.timeoutMs,
        NEVER,
        (signal) => this.port.release(held, signal),
        () => undefined,
      );
      return true;
    } catch (thrown) {
      // Refused by name: it is over there already.
      return thrown instanceof LeaseRefusal;
    }
  }

  /** Whether a call may start. Each `true` must be followed by one call. */
  admits(): boolean {
    return this.#breaker.admits(this.#clock.monotonicMs());
  }

  /**
   * One lease call. Never longer than the port's own time, also when the port does not listen to its signal.
   * @param cancelled ended by the keeper: says nothing about custody
   * @throws Denial `custody_unavailable`, `lease_denied`
   */
  ask(request: LeaseRequest, cancelled: AbortSignal): Promise<LeaseGrant> {
    return this.#call(
      (signal) => this.port.lease(request, signal),
      cancelled,
      (late) => {
        zeroMaterial(late.material);
        void this.release({ leaseId: late.leaseId, session: request.session.id, tenant: request.session.tenant });
      },
    );
  }

  /** One signature. @throws Denial as `ask`; LeaseRefusal as `CustodyPort.sign` */
  async sign(leaseId: string, input: string, cancelled: AbortSignal): Promise<string> {
    if (!this.admits()) throw new Denial("custody_unavailable", { cause: `custody "${this.name}" is down` });
    return await this.#call(
      (signal) => this.port.sign(leaseId, input, signal),
      cancelled,
      () => undefined,
    );
  }

  async #call<T>(
    call: (signal: AbortSignal) => Promise<T>,
    cancelled: AbortSignal,
    discard: (late: T) => void,
  ): Promise<T> {
    try {
      const answer = await within(this.port.timeoutMs, cancelled, call, discard);
      this.#contact(true);
      this.#breaker.succeeded(this.#clock.monotonicMs());
      return answer;
    } catch (thrown) {
      if (cancelled.aborted) this.#breaker.abandoned();
      else if (thrown instanceof LeaseRefusal) {
        this.#contact(true);
        this.#breaker.succeeded(this.#clock.monotonicMs());
      } else {
        this.#contact(false);
        this.#breaker.failed(this.#clock.monotonicMs());
      }
      throw asCustodyDenial(thrown);
    } finally {
      this.#tellBreaker();
    }
  }

  /** Asks for health when it is due: every `downMs` while custody is not known to be up, else every `upMs`. Never throws. */
  async check(upMs: number, downMs: number, cancelled: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const dueMs = this.#checkedAtMs === null ? nowMs : this.#checkedAtMs + (this.#isUp ? upMs : downMs);
    if (this.#checking || nowMs < dueMs) return;
    this.#checking = true;
    this.#checkedAtMs = nowMs;
    try {
      const health = await within(
        this.port.timeoutMs,
        cancelled,
        (signal) => this.port.health(signal),
        () => undefined,
      );
      this.#contact(true);
      this.#tell(health);
      // Health proves that custody is there, not that it leases: the breaker lets one call try at once, no more.
      this.#breaker.hint(this.#clock.monotonicMs());
    } catch {
      // The outcome is the finding, and `state()` reports it; there is nobody to throw to.
      this.#contact(false);
    } finally {
      this.#checking = false;
    }
  }

  state(liveLeases: number): CustodyState {
    return {
      custody: this.name,
      up: this.#isUp,
      breakerOpen: this.#breaker.isOpen,
      problem: this.#isUp ? this.#health.problem : null,
      lastOkMonoMs: this.#lastOkMs,
      liveLeases,
      feed: this.#feed.state,
    };
  }

  get #isUp(): boolean {
    return this.#reachable && !this.#breaker.isOpen;
  }

  /** Calls overlap: a change is told once, by whichever ends first. */
  #tellBreaker(): void {
    if (this.#breaker.isOpen === this.#toldOpen) return;
    this.#toldOpen = this.#breaker.isOpen;
    this.#events.breaker(this.#toldOpen);
  }

  /** The first version that is told changes nothing: leases that are held came from it or from one before. */
  #tell(health: CustodyHealth): void {
    const before = this.#health.catalogue;
    // A custody that says nothing once is not one that has another catalogue.
    this.#health = { ...health, catalogue: health.catalogue ?? before };
    if (before !== null && before !== this.#health.catalogue) this.#events.catalogueChanged();
  }

  #contact(good: boolean): void {
    this.#reachable = good;
    if (good) this.#lastOkMs = this.#clock.monotonicMs();
  }
}

const NEVER = new AbortController().signal;
const PROMISED: ReadonlySet<string> = new Set(["lease_denied", "approval_pending", "custody_unavailable"]);

/** A port promises denials; whatever else it throws means that there was no answer. */
function asCustodyDenial(thrown: unknown): Denial {
  return thrown instanceof Denial && PROMISED.has(thrown.code)
    ? thrown
    : new Denial("custody_unavailable", { cause: thrown });
}
