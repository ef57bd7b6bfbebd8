import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { Denial } from "../core/denial.ts";
import { Roster } from "../core/roster.ts";
import { type ProxySenders, readAnnouncedGuest } from "./announced-guest.ts";
import { GuestConnection } from "./connection.ts";
import type { GuestEnvironment, HeldConnection } from "./environment.ts";
import { FloodHold } from "./flood-hold.ts";
import { GuestCounts } from "./guest-counts.ts";
import { PipelineTurns } from "./pipeline-turns.ts";
import type { ConnectionPlace, TunnelGuest, TunnelOpener, TunnelRequest } from "./place.ts";
import { RunningExchanges } from "./running.ts";
import { SocksConnection } from "./socks-connection.ts";
import { SOCKS_ESTABLISHED } from "./socks-handshake.ts";
import { openSocketFile, type SocketFile } from "./socket-file.ts";
import { type ListenerTls, TlsEntrance } from "./tls-entrance.ts";
import { serveTunnel } from "./tunnel.ts";
import { turnAway } from "./turn-away.ts";

/** Where guests come in, and how. */
export interface ListenerOptions {
  readonly name: string;
  /** TCP address, or a unix socket. */
  readonly address: { readonly host: string; readonly port: number } | SocketFile;
  /** What guests speak. */
  readonly protocol: "http" | "socks5";
  /** `null`: they speak it without TLS. */
  readonly tls: ListenerTls | null;
  /** Who announces guests by the PROXY protocol; `null`: guests connect by themselves. */
  readonly proxySenders: ProxySenders | null;
  /** Told of connections that could not be accepted. */
  readonly onError: (error: Error) => void;
}

/** What a listener shares with others; what it keeps for itself it makes. */
export type ListenerEnvironment = Omit<GuestEnvironment, "onConnection" | "running" | "streams" | "floods" | "turns">;

/** How long a drain waits for stages that were under way when their guest was cut off, `ms`: each has a bound of its own. */
const SETTLE_MS = 5_000;

/** RFC 9110 §9.3.6: a 2xx to CONNECT has no framing fields. */
const CONNECT_ESTABLISHED = "HTTP/1.1 200 Connection Established\r\n\r\n";

/** A connection that has passed what stands before its protocol. */
type Arrived = Pick<ConnectionPlace, "transport" | "guest" | "clientCertificate"> & { readonly socket: Socket };

/**
 * Accepts guests, bounds how many there are, and answers nothing but proxying. Owns every connection that it accepted, tunnels
 * included, until the drain has ended them.
 */
export class GuestListener {
  readonly #options: ListenerOptions;
  readonly #environment: GuestEnvironment;
  readonly #server: Server;
  readonly #tls: TlsEntrance | null;
  readonly #connections = new Roster<HeldConnection>();
  /** Inside tunnels of those. */
  readonly #inside = new Roster<HeldConnection>();
  readonly #sockets = new Roster<Socket>();
  /** Still before their protocol: a PROXY header or a TLS handshake is awaited. */
  readonly #arriving = new Roster<Socket>();
  readonly #guests: GuestCounts;

  /** @throws Error when the certificate and key of `tls` do not fit or do not parse */
  constructor(options: ListenerOptions, environment: ListenerEnvironment) {
    this.#options = options;
    this.#environment = {
      ...environment,
      onConnection: (connection) => track(this.#inside, connection),
      running: new RunningExchanges(),
      turns: new PipelineTurns(),
      streams: new GuestCounts(environment.limits.connectionsPerGuest, environment.limits.connections),
      floods: new FloodHold(environment.timeouts.afterFloodMs, () => environment.line.clock.monotonicMs()),
    };
    this.#guests = new GuestCounts(environment.limits.connectionsPerGuest);
    this.#tls = options.tls === null ? null : new TlsEntrance(options.tls, environment.timeouts.tlsHelloMs);
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) =>
      this.#accept(socket),
    );
  }

  /** Begins to listen. @returns the bound address as text. @throws when the address cannot be had, or not as it is meant */
  async listen(): Promise<string> {
    const { address, onError } = this.#options;
    const listening = once(this.#server, "listening");
    try {
      if ("path" in address) openSocketFile(address, () => this.#server.listen({ path: address.path }));
      else this.#server.listen(address);
      await listening;
    } catch (error) {
      // It may be bound already, and open to somebody else than was meant.
      this.#server.close();
      throw error;
    }
    // Out of descriptors or the like: that connection is lost, the listener goes on.
    this.#server.on("error", onError);
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
    for (const connection of this.#inside) connection.drain();
    for (const connection of this.#connections) connection.drain();
    for (const socket of this.#arriving) socket.destroy();
    this.#environment.floods.drain();
    const timer = setTimeout(() => {
      for (const connection of this.#inside) if (connection.saysGoodbye === true) connection.cut();
      setImmediate(() => setImmediate(() => this.#cutAll()));
    }, timeouts.drainMs);
    await closed;
    clearTimeout(timer);
    await running.none(SETTLE_MS);
  }

  /** What is inside first: it knows whether its end has to look broken. */
  #cutAll(): void {
    for (const connection of this.#inside) connection.cut();
    for (const connection of this.#connections) connection.cut();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** For connections from now on. @throws Error when certificate and key do not fit or do not parse; the old ones then stay */
  renewTls(tls: ListenerTls): void {
    this.#tls?.renew(tls);
  }

  #accept(socket: Socket): void {
    // Whoever holds the socket has its own handler; this one is for the moments between two holders.
    socket.on("error", () => undefined);
    const { proxySenders, address } = this.#options;
    const { limits, events } = this.#environment;
    const peer = socket.remoteAddress ?? ("path" in address ? "unix" : null);
    if (peer === null) {
      // Reset before it was accepted: the system does not know any more who it was.
      socket.destroy();
      return;
    }
    const isAnnounced = proxySenders !== null;
    if (this.#sockets.size >= limits.connections || (!isAnnounced && this.#guests.isFull(peer))) {
      this.#turnAway(socket, peer, new Denial("connection_limit"));
      return;
    }
    const seat = this.#sockets.add(socket);
    events.connectionOpened();
    socket.once("close", () => {
      this.#sockets.delete(seat);
      events.connectionClosed();
    });
    if (!isAnnounced) this.#guests.add(peer, socket);
    // Owned by this listener: it never rejects.
    if (isAnnounced || this.#tls !== null) void this.#arrive(socket, peer);
    else this.#serve({ socket, transport: socket, guest: peer, clientCertificate: null });
  }

  /** What stands before the protocol: the balancer's word on who comes, then TLS. Who does not get through is written down. */
  async #arrive(transport: Socket, peer: string): Promise<void> {
    const { running, timeouts } = this.#environment;
    const { proxySenders } = this.#options;
    let guest: string | null = peer;
    running.began();
    const seat = this.#arriving.add(transport);
    try {
      if (proxySenders !== null) {
        guest = await readAnnouncedGuest(transport, peer, proxySenders, timeouts.proxyProtocolMs);
        if (guest !== null && this.#guests.isFull(guest)) throw new Denial("connection_limit");
        if (guest !== null) this.#guests.add(guest, transport);
      }
      const secured = guest === null || this.#tls === null ? null : await this.#tls.secure(transport);
      if (guest === null || transport.destroyed || (this.#tls !== null && secured === null)) transport.destroy();
      else {
        const socket = secured?.socket ?? transport;
        this.#serve({ socket, transport, guest, clientCertificate: secured?.certificate ?? null });
        socket.resume();
      }
    } catch (thrown) {
      // What a drain has ended was refused by nobody.
      if (this.#environment.isDraining()) transport.destroy();
      else this.#turnAway(transport, guest ?? peer, Denial.from(thrown));
    } finally {
      this.#arriving.delete(seat);
      running.ended();
    }
  }

  #serve({ socket, ...arrived }: Arrived): void {
    const environment = this.#environment;
    const place = {
      ...arrived,
      listener: this.#options.name,
      tunnel: null,
      endsAtMs: Number.POSITIVE_INFINITY,
    };
    const connection =
      this.#options.protocol === "socks5"
        ? new SocksConnection(socket, place, environment, this.#openBySocks)
        : new GuestConnection(socket, place, environment, this.#openByHttp);
    track(this.#connections, connection);
  }

  readonly #openByHttp: TunnelOpener = (guest, request) => this.#open(guest, request, CONNECT_ESTABLISHED);
  readonly #openBySocks: TunnelOpener = (guest, request) => this.#open(guest, request, SOCKS_ESTABLISHED);

  #open(guest: TunnelGuest, request: TunnelRequest, established: string): void {
    const { running } = this.#environment;
    running.began();
    // Never rejects; its end is in the record.
    void serveTunnel(this.#environment, guest, request, established).finally(() => running.ended());
  }

  #turnAway(socket: Socket, guest: string, denial: Denial): void {
    turnAway(this.#environment, this.#options, socket, guest, denial);
  }
}

function track(roster: Roster<HeldConnection>, connection: HeldConnection): void {
  const seat = roster.add(connection);
  connection.socket.once("close", () => roster.delete(seat));
}
