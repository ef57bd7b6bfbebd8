import { Denial } from "../core/denial.ts";
import type { Permit, Pinned } from "../core/exchange.ts";
import type { ConnectWant, UpstreamChannel } from "../core/wire.ts";
import type { Dialled } from "./dial.ts";
import { Http2Session, type SessionContext } from "./http2-session.ts";
import type { PoolOptions } from "./pool.ts";

interface Waiter {
  readonly wake: () => void;
  readonly reject: (thrown: unknown) => void;
  /** `undefined`: it has joined the session that is being opened, and is told when that is open or has failed. */
  readonly timer: NodeJS.Timeout | undefined;
}

/**
 * HTTP/2 sessions of one destination to one pinned address set. One is opened at a time, and all who want a place wait for it: a
 * session serves many. Further ones are opened when all places are taken, as many as HTTP/1.1 connections may be.
 */
export class Http2Pool {
  readonly #pinned: Pinned;
  readonly #dialOne: () => Promise<Dialled>;
  readonly #options: PoolOptions;
  readonly #context: SessionContext;
  readonly #sessions: Http2Session[] = [];
  readonly #waiters: Waiter[] = [];
  #open = 0;
  /** Exchanges that have no place yet: what they will open must be found here. */
  #coming = 0;
  #opening: Promise<Http2Session> | null = null;
  #retired = false;

  /** @param dialOne dials `pinned`; what it returns speaks HTTP/2 */
  constructor(pinned: Pinned, dialOne: () => Promise<Dialled>, scheme: "http" | "https", options: PoolOptions) {
    this.#pinned = pinned;
    this.#dialOne = dialOne;
    this.#options = options;
    this.#context = {
      clock: options.clock,
      sweep: options.sweep,
      timeouts: options.timeouts,
      limits: options.limits,
      scheme,
      // Nobody else is told of one that its opener does not hold yet.
      onChange: (session) => {
        if (this.#waiters.length > 0 && this.#sessions.includes(session)) this.#wakeOne();
      },
      onClosed: (session) => this.#onClosed(session),
    };
  }

  /** One that takes no new streams is on its way out, and keeps nobody from another; there are as many of those at most. */
  get #mayOpen(): boolean {
    const { maxConnections } = this.#options;
    if (this.#open < maxConnections) return true;
    const leaving = this.#sessions.filter(({ isLeaving }) => isLeaving).length;
    return this.#open - leaving < maxConnections && this.#open < 2 * maxConnections;
  }

  /** Nothing is open, and nothing is being opened or about to be. */
  get isEmpty(): boolean {
    return this.#open === 0 && this.#coming === 0;
  }

  /** Nothing that is open carries an exchange, and nothing is being opened or about to be. */
  get isIdle(): boolean {
    if (this.#coming > 0 || this.#open !== this.#sessions.length) return false;
    return this.#sessions.every(({ isIdle }) => isIdle);
  }

  /** Keeps no session from here on: idle ones end now, the others after their last exchange. Whoever waits is given `gone`. */
  retire(gone: Denial): void {
    this.#retired = true;
    for (const session of this.#sessions) session.finish();
    for (const waiter of this.#waiters.splice(0)) {
      clearTimeout(waiter.timer);
      waiter.reject(gone);
    }
  }

  /** @param permit of the exchange that takes the place; asked for, so that nothing is dialled without one */
  take(permit: Permit, want: ConnectWant): UpstreamChannel | Promise<UpstreamChannel> {
    if (permit.authority.text !== this.#pinned.authority.text)
      throw new Denial("internal", { cause: "pool of another authority" });
    const opens = want.fresh && this.#mayOpen;
    // Nobody goes ahead of those who wait.
    const channel = opens || this.#waiters.length > 0 ? null : this.#held();
    return channel ?? this.#whenFree(opens);
  }

  /** A place on an open session, the oldest first: so that the others run empty and end. @param isFresh the newest first */
  #held(isFresh = false): UpstreamChannel | null {
    const hasRoom = ({ room }: Http2Session): boolean => room > 0;
    const session = isFresh ? this.#sessions.findLast(hasRoom) : this.#sessions.find(hasRoom);
    if (session === undefined) return null;
    this.#options.events.reused();
    return session.hold();
  }

  /** A place on a session that was opened for it. */
  #holdFirst(session: Http2Session): UpstreamChannel {
    const channel = session.hold();
    if (this.#retired) session.finish();
    return channel;
  }

  /** Joins the session that is being opened, opens one, or waits for a place. */
  async #whenFree(isFresh: boolean): Promise<UpstreamChannel> {
    this.#coming++;
    try {
      return await this.#untilFree(isFresh);
    } finally {
      this.#coming--;
      this.#lookEmpty();
    }
  }

  async #untilFree(isFresh: boolean): Promise<UpstreamChannel> {
    const endMs = this.#options.clock.monotonicMs() + this.#options.timeouts.upstreamConnectMs;
    let channel: UpstreamChannel | null = null;
    while (channel === null) {
      // Whoever wants a fresh one waits for nothing else.
      if (this.#opening !== null) await (isFresh ? this.#opening : this.#openedOrFreed());
      else if (this.#mayOpen) channel = await this.#openOne();
      else await this.#change(endMs);
      channel ??= this.#held(isFresh);
    }
    // What let this one in may have made room for more.
    if (this.#sessions.some(({ room }) => room > 0)) this.#wakeOne();
    return channel;
  }

  async #openOne(): Promise<UpstreamChannel> {
    this.#opening = this.#dial();
    try {
      const session = await this.#opening;
      this.#opening = null;
      // Here before those who wait for it as well.
      const channel = this.#holdFirst(session);
      for (const { wake } of this.#takeJoined()) wake();
      return channel;
    } catch (thrown) {
      this.#opening = null;
      for (const { reject } of this.#takeJoined()) reject(thrown);
      // Whoever waits for a place may try to open one now.
      this.#wakeOne();
      throw thrown;
    }
  }

  async #dial(): Promise<Http2Session> {
    this.#open++;
    let dialled: Dialled;
    try {
      dialled = await this.#dialOne();
    } catch (thrown) {
      this.#left();
      throw thrown;
    }
    let session: Http2Session;
    try {
      session = new Http2Session(dialled, this.#context);
    } catch (thrown) {
      dialled.socket.destroy();
      this.#left();
      throw thrown;
    }
    // From here on its end is told by `onClosed`.
    this.#options.events.opened();
    await session.ready();
    if (session.room <= 0) {
      session.end();
      throw new Denial("upstream_unreachable", { cause: "the upstream takes no HTTP/2 streams" });
    }
    this.#sessions.push(session);
    return session;
  }

  /** A place that becomes free meanwhile is as good as one on the session that is being opened. @throws what that throws */
  #openedOrFreed(): Promise<void> {
    return new Promise((wake, reject) => void this.#waiters.push({ wake, reject, timer: undefined }));
  }

  #takeJoined(): Waiter[] {
    const joined = this.#waiters.filter(({ timer }) => timer === undefined);
    if (joined.length > 0)
      this.#waiters.splice(0, Infinity, ...this.#waiters.filter(({ timer }) => timer !== undefined));
    return joined;
  }

  #change(endMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => {
          this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
          reject(
            new Denial("upstream_timeout", {
              cause: "no place on a connection of this destination became free in time",
            }),
          );
        },
        Math.max(0, endMs - this.#options.clock.monotonicMs()),
      );
      const waiter: Waiter = { wake: resolve, reject, timer };
      this.#waiters.push(waiter);
    });
  }

  #wakeOne(): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) return;
    clearTimeout(waiter.timer);
    waiter.wake();
  }

  #onClosed(session: Http2Session): void {
    const at = this.#sessions.indexOf(session);
    if (at >= 0) this.#sessions.splice(at, 1);
    this.#options.events.closed();
    this.#left();
  }

  #left(): void {
    this.#open--;
    this.#wakeOne();
    this.#lookEmpty();
  }

  #lookEmpty(): void {
    if (this.isEmpty) this.#options.onEmpty();
  }
}
