import { createServer, type Server, type Socket } from "node:net";
import { chmodSync } from "node:fs";
import { Denial } from "../core/denial.ts";
import { GuestConnection } from "./connection.ts";
import type { GuestEnvironment, HeldConnection } from "./environment.ts";
import { openRecord } from "./record.ts";
import { refusalText } from "./refusal.ts";
import { RunningExchanges } from "./running.ts";
import { serveConnect } from "./tunnel.ts";

/** Where guests come in. */
export interface ListenerOptions {
  readonly name: string;
  /** TCP address, or the path of a unix socket. */
  readonly address: { readonly host: string; readonly port: number } | { readonly path: string };
  /** Mode of the unix socket. */
  readonly mode: number;
  /** Told of connections that could not be accepted. */
  readonly onError: (error: Error) => void;
}

/** What a listener shares with others; what it keeps for itself it makes. */
export type ListenerEnvironment = Omit<GuestEnvironment, "onConnection" | "running">;

/** How long a drain waits for stages that were under way when their guest was cut off, `ms`: each has a bound of its own. */
const SETTLE_MS = 5_000;

/**
 * Accepts guests, bounds how many there are, and answers nothing but proxying. Owns every connection that it accepted, tunnels
 * included, until the drain has ended them.
 */
export class GuestListener {
  readonly #options: ListenerOptions;
  readonly #environment: GuestEnvironment;
  readonly #server: Server;
  readonly #connections = new Set<HeldConnection>();
  readonly #sockets = new Set<Socket>();
  readonly #perGuest = new Map<string, number>();

  constructor(options: ListenerOptions, environment: ListenerEnvironment) {
    this.#options = options;
    this.#environment = {
      ...environment,
      onConnection: (connection) => this.#track(connection),
      running: new RunningExchanges(),
    };
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) =>
      this.#accept(socket),
    );
  }

  /** Begins to listen. @returns the bound address as text. @throws when the address cannot be bound */
  async listen(): Promise<string> {
    const { address, mode } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(address, () => {
        this.#server.off("error", reject);
        // Out of descriptors or the like: that connection is lost, the listener goes on.
        this.#server.on("error", (error) => this.#options.onError(error));
        resolve();
      });
    });
    if ("path" in address) {
      chmodSync(address.path, mode);
      return `unix:${address.path}`;
    }
    return this.boundText;
  }

  get boundText(): string {
    const bound = this.#server.address();
    if (bound === null || typeof bound === "string") return `unix:${bound ?? ""}`;
    return bound.family === "IPv6" ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
  }

  /** Bound IP text, "" for a unix socket. */
  get host(): string {
    const bound = this.#server.address();
    return bound === null || typeof bound === "string" ? "" : bound.address;
  }

  /** Bound TCP port, 0 for a unix socket. */
  get port(): number {
    const bound = this.#server.address();
    return bound === null || typeof bound === "string" ? 0 : bound.port;
  }

  get openConnections(): number {
    return this.#sockets.size;
  }

  /**
   * Accepts nothing new, closes what is idle; exchanges that run may finish within `drainMs`, then all is cut. When it is over
   * every record is closed.
   */
  async drain(): Promise<void> {
    const { running, timeouts } = this.#environment;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.drain();
    const timer = setTimeout(() => {
      for (const connection of this.#connections) connection.cut();
      for (const socket of this.#sockets) socket.destroy();
    }, timeouts.drainMs);
    await closed;
    clearTimeout(timer);
    await running.none(SETTLE_MS);
  }

  #accept(socket: Socket): void {
    const guest = socket.remoteAddress ?? "unix";
    const { limits, events } = this.#environment;
    const fromGuest = (this.#perGuest.get(guest) ?? 0) + 1;
    if (this.#sockets.size >= limits.connections || fromGuest > limits.connectionsPerGuest) {
      this.#turnAway(socket, guest);
      return;
    }
    this.#sockets.add(socket);
    this.#perGuest.set(guest, fromGuest);
    events.connectionOpened();
    socket.once("close", () => {
      this.#sockets.delete(socket);
      const left = (this.#perGuest.get(guest) ?? 1) - 1;
      if (left === 0) this.#perGuest.delete(guest);
      else this.#perGuest.set(guest, left);
      events.connectionClosed();
    });
    // Whoever holds the socket has its own handler; this one is for the moments between two holders.
    socket.on("error", () => undefined);
    const place = { listener: this.#options.name, guest, tunnel: null, endsAtMs: Number.POSITIVE_INFINITY };
    const connection = new GuestConnection(socket, place, this.#environment, (held, request) => {
      const { running } = this.#environment;
      running.began();
      // Never rejects; its end is in the record.
      void serveConnect(this.#environment, held, request).finally(() => running.ended());
    });
    this.#track(connection);
  }

  #track(connection: HeldConnection): void {
    this.#connections.add(connection);
    connection.socket.once("close", () => this.#connections.delete(connection));
  }

  #turnAway(socket: Socket, guest: string): void {
    const { line, nextId } = this.#environment;
    const denial = new Denial("connection_limit");
    const record = openRecord(line.clock, nextId(), "connection", this.#options.name, guest);
    record.denial = denial.code;
    record.status = denial.entry.status;
    socket.on("error", () => undefined);
    const options = { correlationId: record.id, headOnly: false, close: true, nowMs: line.clock.wallMs() };
    socket.end(refusalText(denial, options), "latin1", () => socket.destroy());
    line.account.close(record);
  }
}
