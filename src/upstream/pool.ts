import { Denial } from "../core/denial.ts";
import type { Permit, Pinned } from "../core/exchange.ts";
import { UpstreamConnection, type ConnectionContext } from "./connection.ts";
import type { Dialled, DialTls } from "./dial.ts";

/** What happens to connections; for metrics. */
export interface PoolEvents {
  opened(): void;
  reused(): void;
  closed(): void;
}

/** Opens a connection for a pool: to one of its pinned addresses, or through a parent. */
export type Dial = (tls: DialTls | null, timeoutMs: number) => Promise<Dialled>;

export interface PoolOptions extends Omit<ConnectionContext, "onIdle" | "onClosed"> {
  /** Open and opening connections at most. */
  readonly maxConnections: number;
  readonly events: PoolEvents;
  readonly dial: Dial;
  /** No connection is left. */
  onEmpty(): void;
}

interface Waiter {
  readonly resolve: (connection: UpstreamConnection) => void;
  readonly reject: (denial: Denial) => void;
  readonly timer: NodeJS.Timeout;
}

/** Connections of one destination to one pinned address set or name. The last one used is the next one taken: it is the least stale. */
export class UpstreamPool {
  readonly #pinned: Pinned;
  readonly #options: PoolOptions;
  readonly #tls: Omit<DialTls, "session" | "onSession"> | null;
  readonly #context: ConnectionContext;
  readonly #idle: UpstreamConnection[] = [];
  readonly #waiters: Waiter[] = [];
  #open = 0;
  #session: Buffer | null = null;

  constructor(pinned: Pinned, tls: Omit<DialTls, "session" | "onSession"> | null, options: PoolOptions) {
    this.#pinned = pinned;
    this.#tls = tls;
    this.#options = options;
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
  take(permit: Permit, fresh: boolean): UpstreamConnection | Promise<UpstreamConnection> {
    if (permit.authority.text !== this.#pinned.authority.text)
      throw new Denial("internal", { cause: "pool of another authority" });
    if (!fresh) {
      for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
        if (!connection.isUsable) continue;
        this.#options.events.reused();
        return connection;
      }
    }
    if (this.#open < this.#options.maxConnections) return this.#dial();
    return this.#wait();
  }

  async #dial(): Promise<UpstreamConnection> {
    this.#open++;
    try {
      const tls: DialTls | null =
        this.#tls === null
          ? null
          : {
              ...this.#tls,
              session: this.#session,
              onSession: (session) => {
                this.#session = session;
              },
            };
      const { upstreamConnectMs } = this.#options.timeouts;
      const { socket, address } = await this.#options.dial(tls, upstreamConnectMs);
      this.#options.events.opened();
      return new UpstreamConnection(socket, address, this.#context);
    } catch (thrown) {
      this.#open--;
      this.#session = null;
      this.#serveWaiter();
      if (this.#open === 0) this.#options.onEmpty();
      throw thrown;
    }
  }

  #wait(): Promise<UpstreamConnection> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(new Denial("upstream_timeout", { cause: "no connection of this destination became free in time" }));
      }, this.#options.timeouts.upstreamConnectMs);
      const waiter: Waiter = { resolve, reject, timer };
      this.#waiters.push(waiter);
    });
  }

  #onIdle(connection: UpstreamConnection): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#idle.push(connection);
      return;
    }
    clearTimeout(waiter.timer);
    this.#options.events.reused();
    waiter.resolve(connection);
  }

  #onClosed(connection: UpstreamConnection): void {
    this.#open--;
    this.#options.events.closed();
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#serveWaiter();
    if (this.#open === 0) this.#options.onEmpty();
  }

  /** A place became free: the oldest waiter gets a connection of its own. */
  #serveWaiter(): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) return;
    clearTimeout(waiter.timer);
    this.#dial().then(waiter.resolve, (thrown: unknown) => waiter.reject(Denial.from(thrown)));
  }
}
