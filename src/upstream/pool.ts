import { Denial } from "../core/denial.ts";
import type { Permit, Pinned } from "../core/exchange.ts";
import { sessionKey } from "../core/session-key.ts";
import type { ConnectWant } from "../core/wire.ts";
import { UpstreamConnection, type ConnectionContext } from "./connection.ts";
import type { Dialled } from "./dial.ts";
import { Shares } from "./shares.ts";

/** What happens to connections; for metrics. */
export interface PoolEvents {
  opened(): void;
  reused(): void;
  closed(): void;
}

export interface PoolOptions extends Omit<ConnectionContext, "onIdle" | "onClosed"> {
  /** Open and opening connections at most. */
  readonly maxConnections: number;
  /** There is more than one session: none of them gets all. */
  readonly isShared: boolean;
  readonly events: PoolEvents;
  /** No connection is left. */
  onEmpty(): void;
}

interface Waiter {
  /** Key of its session. */
  readonly who: string;
  readonly resolve: (connection: UpstreamConnection) => void;
  readonly reject: (denial: Denial) => void;
  readonly timer: NodeJS.Timeout;
}

/** HTTP/1.1 connections of one destination to one pinned address set. The last one used is the next one taken: it is the least stale. */
export class UpstreamPool {
  readonly #pinned: Pinned;
  readonly #dialOne: () => Promise<Dialled>;
  readonly #options: PoolOptions;
  readonly #context: ConnectionContext;
  readonly #idle: UpstreamConnection[] = [];
  readonly #waiters: Waiter[] = [];
  readonly #shares: Shares | null;
  #open = 0;
  #retired = false;

  /** @param dialOne dials `pinned`, for HTTP/1.1 */
  constructor(pinned: Pinned, dialOne: () => Promise<Dialled>, options: PoolOptions) {
    this.#pinned = pinned;
    this.#dialOne = dialOne;
    this.#options = options;
    this.#shares = options.isShared ? new Shares(options.maxConnections) : null;
    this.#context = {
      clock: options.clock,
      sweep: options.sweep,
      timeouts: options.timeouts,
      limits: options.limits,
      onIdle: (connection) => this.#onIdle(connection),
      onClosed: (connection) => this.#onClosed(connection),
    };
  }

  /** @param permit of the exchange that takes the connection; asked for, so that nothing is dialled without one */
  take(permit: Permit, want: ConnectWant): UpstreamConnection | Promise<UpstreamConnection> {
    if (permit.authority.text !== this.#pinned.authority.text)
      throw new Denial("internal", { cause: "pool of another authority" });
    const who = this.#shares === null ? "" : sessionKey(permit.session);
    if (this.#shares?.mayTake(who) === false) return this.#wait(who);
    if (!want.fresh) {
      for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
        if (!connection.isUsable) continue;
        this.#options.events.reused();
        return this.#handOut(connection, who);
      }
    }
    // Full of idle ones, none of which is wanted: the oldest makes room.
    if (this.#open >= this.#options.maxConnections) this.#idle[0]?.abort();
    if (this.#open < this.#options.maxConnections) return this.#dial(who);
    return this.#wait(who);
  }

  /** Nothing is open, and nothing is being opened. */
  get isEmpty(): boolean {
    return this.#open === 0;
  }

  /** Nothing that is open carries an exchange, and nothing is being opened. */
  get isIdle(): boolean {
    return this.#open === this.#idle.length;
  }

  /** Keeps no connection from here on: idle ones end now, the others after their exchange. Whoever waits is given `gone`. */
  retire(gone: Denial): void {
    this.#retired = true;
    for (const connection of this.#idle.splice(0)) connection.abort();
    for (const waiter of this.#waiters.splice(0)) {
      clearTimeout(waiter.timer);
      waiter.reject(gone);
    }
  }

  /** Takes in a connection that was dialled elsewhere. */
  adopt({ socket, address }: Dialled): void {
    this.#open++;
    this.#options.events.opened();
    this.#onIdle(new UpstreamConnection(socket, address, this.#context));
  }

  async #dial(who: string): Promise<UpstreamConnection> {
    this.#open++;
    this.#shares?.take(who);
    try {
      const { socket, address } = await this.#dialOne();
      this.#options.events.opened();
      const connection = new UpstreamConnection(socket, address, this.#context);
      connection.holder = who;
      return connection;
    } catch (thrown) {
      this.#open--;
      this.#shares?.give(who);
      this.#serveWaiter();
      if (this.#open === 0) this.#options.onEmpty();
      throw thrown;
    }
  }

  #handOut(connection: UpstreamConnection, who: string): UpstreamConnection {
    this.#shares?.take(who);
    connection.holder = who;
    return connection;
  }

  #handBack(connection: UpstreamConnection): void {
    const { holder } = connection;
    if (holder === null) return;
    this.#shares?.give(holder);
    connection.holder = null;
  }

  #wait(who: string): Promise<UpstreamConnection> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(new Denial("upstream_timeout", { cause: "no connection of this destination became free in time" }));
      }, this.#options.timeouts.upstreamConnectMs);
      const waiter: Waiter = { who, resolve, reject, timer };
      this.#waiters.push(waiter);
    });
  }

  /** The oldest of those who wait whose session may have one more. */
  #nextWaiter(): Waiter | null {
    const at = this.#shares === null ? 0 : this.#waiters.findIndex(({ who }) => this.#shares?.mayTake(who));
    const [waiter] = at < 0 ? [] : this.#waiters.splice(at, 1);
    if (waiter === undefined) return null;
    clearTimeout(waiter.timer);
    return waiter;
  }

  #onIdle(connection: UpstreamConnection): void {
    this.#handBack(connection);
    if (this.#retired) {
      connection.abort();
      return;
    }
    const waiter = this.#nextWaiter();
    if (waiter === null) {
      this.#idle.push(connection);
      return;
    }
    this.#options.events.reused();
    waiter.resolve(this.#handOut(connection, waiter.who));
  }

  #onClosed(connection: UpstreamConnection): void {
    this.#open--;
    this.#handBack(connection);
    this.#options.events.closed();
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#serveWaiter();
    if (this.#open === 0) this.#options.onEmpty();
  }

  /** A place became free: whoever is next gets a connection of its own. */
  #serveWaiter(): void {
    const waiter = this.#nextWaiter();
    if (waiter === null) return;
    this.#dial(waiter.who).then(waiter.resolve, (thrown: unknown) => waiter.reject(Denial.from(thrown)));
  }
}
