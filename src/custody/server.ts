import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { Server as TlsServer } from "node:tls";
import fastify, { type FastifyInstance } from "fastify";
import type { Clock } from "../core/clock.ts";
import type { CustodyHealth } from "../core/custody.ts";
import { BadInput } from "./bad-input.ts";
import { CALLER_LIMITS, CallerLimits, type CallerLimitsOptions } from "./caller-limits.ts";
import { Callers, type KnownCaller } from "./callers.ts";
import type { Caller } from "./caller.ts";
import type { Issuer } from "./issuer.ts";
import { type AnsweredEvent, Answers } from "./routes/answers.ts";
import { approvalRoutes } from "./routes/approvals.ts";
import { leaseRoutes } from "./routes/leases.ts";
import { signRoute } from "./routes/sign.ts";
import { revocationRoutes } from "./routes/revocations.ts";
import { type CustodyServerTls, HANDSHAKE_MS, makeServer, secureContextOf } from "./server-tls.ts";
import { listenOnUnixSocket, SOCKET_MODE } from "./unix-socket.ts";
import { encodeHealth } from "./wire.ts";

export interface CustodyServerOptions {
  readonly issuer: Issuer;
  readonly address:
    | { readonly kind: "unix"; readonly path: string }
    | { readonly kind: "tcp"; readonly host: string; readonly port: number };
  /** Mutual TLS, PEM texts; `null` only with a unix socket. */
  readonly tls: CustodyServerTls | null;
  /** What `GET /v1/health` tells. */
  readonly health: () => CustodyHealth;
  /** Edges by certificate name; not looked at on a unix socket without TLS. */
  readonly callers: readonly KnownCaller[];
  /** Mode of a unix socket; left out: its owner and group may ask. */
  readonly socketMode?: number;
  /** Who everybody on a unix socket is; left out: an edge that may lease. */
  readonly socketCaller?: Caller;
  readonly limits?: CallerLimitsOptions;
  readonly clock: Clock;
  readonly events: CustodyServerEvents;
}

/** What happened, for the log. Nothing in it is secret. */
export interface CustodyServerEvents {
  answered(answer: AnsweredEvent): void;
  /** A connection or a request failed below the API. `code` is an error code. */
  broken(code: string): void;
}

const BODY_BYTES = 16 * 1024;
const MAX_CONNECTIONS = 1_024;

/** Custody's API as docs/custody.openapi.yaml says: leases and the feed of revocations for edges, the rest for operators. */
export class CustodyServer {
  readonly #options: CustodyServerOptions;
  readonly #app: FastifyInstance;
  readonly #server: Server;
  readonly #badInput: BadInput;
  readonly #limits: CallerLimits;
  readonly #answers: Answers;
  #callers: Callers;
  /** Connections that were opened under the certificates in force. */
  #current = new WeakSet<Socket>();
  #tlsSinceMs = Number.NEGATIVE_INFINITY;
  #draining = false;

  private constructor(options: CustodyServerOptions) {
    this.#options = options;
    this.#callers = new Callers(options.callers, options.socketCaller);
    this.#badInput = new BadInput(options.clock);
    this.#limits = new CallerLimits(options.clock, options.limits ?? CALLER_LIMITS);
    this.#answers = new Answers({
      callers: () => this.#callers,
      badInput: this.#badInput,
      limits: this.#limits,
      answered: (event) => options.events.answered(event),
    });
    this.#app = fastify({
      logger: false,
      bodyLimit: BODY_BYTES,
      serverFactory: (handler) => makeServer(options.tls, handler),
      // A path that the router cannot read: its own answer would repeat it.
      frameworkErrors: (_error, request, reply) => {
        this.#answers.malformed(request, reply);
      },
      // The parser's error carries the raw bytes: the code alone is kept, and the peer reads nothing.
      // Of handshakes as well: Node hands what fails them on to here.
      clientErrorHandler: ({ code }, socket) => {
        options.events.broken(code ?? "unknown");
        socket.destroy();
      },
    });
    this.#server = this.#app.server as Server;
    this.#routes();
    this.#watchSockets();
  }

  /**
   * Listens.
   * @throws TypeError for TCP without TLS; Error with a next step when the address cannot be had
   */
  static async start(options: CustodyServerOptions): Promise<CustodyServer> {
    const { address, tls } = options;
    if (tls === null && address.kind !== "unix") throw new TypeError("custody over TCP needs mutual TLS");
    const custody = new CustodyServer(options);
    await custody.#app.ready();
    if (address.kind === "unix")
      await listenOnUnixSocket(custody.#server, address.path, options.socketMode ?? SOCKET_MODE);
    else {
      custody.#server.listen({ host: address.host, port: address.port });
      await once(custody.#server, "listening").catch((error: NodeJS.ErrnoException) => {
        const place = `listen.address: ${address.host}:${address.port} cannot be bound (${error.code ?? "unknown error"})`;
        throw new Error(`${place}: stop what listens there or choose another one`, { cause: error });
      });
    }
    return custody;
  }

  /** Where it listens: `unix:/path`, or `host:port` with the port that the system chose. */
  get address(): string {
    const bound = this.#server.address() as AddressInfo | string | null;
    if (bound === null || typeof bound === "string") return `unix:${bound ?? ""}`;
    return bound.family === "IPv6" ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
  }

  /** Who may ask from now on, on connections that are open as well. */
  useCallers(known: readonly KnownCaller[]): void {
    this.#callers = new Callers(known, this.#options.socketCaller);
  }

  /**
   * Takes other certificates for connections to come; those that are open end after the answer that they wait for, because
   * what they proved was proved to other roots.
   * @throws Error of OpenSSL when they do not fit together; the ones before then stay
   */
  useTls(tls: CustodyServerTls): void {
    if (!(this.#server instanceof TlsServer)) throw new TypeError("this custody was started without TLS");
    this.#server.setSecureContext(secureContextOf(tls));
    this.#current = new WeakSet();
    this.#tlsSinceMs = this.#options.clock.monotonicMs();
    this.#server.closeIdleConnections();
  }

  /** Accepts nothing more, lets running requests end for up to `drainMs`, then closes every connection. */
  async close(drainMs: number): Promise<void> {
    this.#draining = true;
    // Who waits for news is answered now.
    this.#options.issuer.beginEnding();
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeIdleConnections();
    const hard = setTimeout(() => this.#server.closeAllConnections(), drainMs);
    await closed;
    clearTimeout(hard);
    await this.#app.close();
  }

  #routes(): void {
    const { issuer, clock, health } = this.#options;
    const app = this.#app;
    const answers = this.#answers;
    leaseRoutes(app, answers, issuer, this.#limits);
    signRoute(app, answers, issuer);
    revocationRoutes(app, answers, issuer);
    approvalRoutes(app, answers, issuer, clock);
    app.get(
      "/v1/health",
      answers.route(null, () => encodeHealth(health())),
    );
    app.setNotFoundHandler((request, reply) => answers.malformed(request, reply));
    app.setErrorHandler<{ readonly statusCode?: number; readonly code?: string }>((error, request, reply) => {
      const isTheirs = error.statusCode !== undefined && error.statusCode < 500;
      if (isTheirs) return answers.malformed(request, reply);
      this.#options.events.broken(error.code ?? "internal");
      return reply.code(500).send();
    });
    // Before a body is read: who is unknown, shut out or too late is not listened to.
    app.addHook("onRequest", async (request, reply) => {
      const caller = answers.callerOf(request);
      if (this.#draining) return answers.refuse(reply, caller, "draining");
      if (caller === null) return answers.refuse(reply, caller, "caller_not_allowed");
      if (this.#badInput.isShut(caller.name)) return answers.refuse(reply, caller, "overloaded");
      return undefined;
    });
    // A connection that finishes its request during a drain would else stay open until the hard end.
    app.addHook("onSend", async ({ raw }, reply) => {
      if (this.#draining || !this.#current.has(raw.socket)) reply.header("connection", "close");
    });
  }

  #watchSockets(): void {
    this.#server.maxConnections = MAX_CONNECTIONS;
    const { tls, clock } = this.#options;
    this.#server.on(tls === null ? "connection" : "secureConnection", (socket: Socket) => {
      // A handshake that was under way when the certificates changed was made with those before.
      if (clock.monotonicMs() - this.#tlsSinceMs > HANDSHAKE_MS) this.#current.add(socket);
    });
  }
}
