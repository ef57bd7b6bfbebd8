import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { Server as TlsServer } from "node:tls";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Clock } from "../core/clock.ts";
import { type CustodyHealth, LeaseRefusal, type LeaseRefusalReason, type LeaseRequest } from "../core/custody.ts";
import { BadInput } from "./bad-input.ts";
import { Callers, type KnownCaller } from "./callers.ts";
import type { Caller, Issuer } from "./issuer.ts";
import { encodeProblem, PROBLEM_TYPE } from "./problem.ts";
import { type CustodyServerTls, HANDSHAKE_MS, makeServer, secureContextOf } from "./server-tls.ts";
import { signRoute } from "./sign-route.ts";
import { listenOnUnixSocket } from "./unix-socket.ts";
import { decodeLeaseRequest, encodeHealth, encodeLeaseGrant } from "./wire.ts";
import { WAIT_HEADER, waitOf } from "./wire-schema.ts";
import { within } from "./within.ts";
import { zeroMaterial } from "../core/material.ts";

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
  readonly clock: Clock;
  readonly events: CustodyServerEvents;
}

/** What happened, for the log. Nothing in it is secret. */
export interface CustodyServerEvents {
  /** One request was answered. `reason` is `null` for a lease or a health answer. */
  answered(answer: {
    readonly caller: string;
    readonly status: number;
    readonly reason: LeaseRefusalReason | null;
    readonly durationMs: number;
  }): void;
  /** A connection or a request failed below the API. `code` is an error code. */
  broken(code: string): void;
}

const BODY_BYTES = 16 * 1024;
const MAX_CONNECTIONS = 1_024;
const MAX_ISSUES_AT_ONCE = 256;

/** Custody's API for edges: `POST /v1/leases`, `GET /v1/health`, as docs/custody.openapi.yaml says. */
export class CustodyServer {
  readonly #options: CustodyServerOptions;
  readonly #app: FastifyInstance;
  readonly #server: Server;
  readonly #badInput: BadInput;
  #callers: Callers;
  /** Connections that were opened under the certificates in force. */
  #current = new WeakSet<Socket>();
  #tlsSinceMs = Number.NEGATIVE_INFINITY;
  #issuing = 0;
  #draining = false;

  private constructor(options: CustodyServerOptions) {
    this.#options = options;
    this.#callers = new Callers(options.callers);
    this.#badInput = new BadInput(options.clock);
    this.#app = fastify({
      logger: false,
      bodyLimit: BODY_BYTES,
      serverFactory: (handler) => makeServer(options.tls, handler),
      // The parser's error carries the raw bytes: the code alone is kept, and the peer reads nothing.
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
    if (address.kind === "unix") await listenOnUnixSocket(custody.#server, address.path);
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
    this.#callers = new Callers(known);
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
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeIdleConnections();
    const hard = setTimeout(() => this.#server.closeAllConnections(), drainMs);
    await closed;
    clearTimeout(hard);
    await this.#app.close();
  }

  #routes(): void {
    this.#app.post("/v1/leases", (request, reply) => this.#lease(request, reply));
    signRoute(this.#app, {
      issuer: this.#options.issuer,
      callerOf: ({ raw }) => this.#callers.of(raw.socket),
      malformed: (request, reply) => this.#malformed(request, reply),
      refuse: (reply, caller, reason) => this.#refuse(reply, caller, reason),
      answered: (reply, caller) => this.#answered(reply, caller, 200, null),
    });
    this.#app.get("/v1/health", (request, reply) => this.#health(request, reply));
    this.#app.setNotFoundHandler((request, reply) => this.#malformed(request, reply));
    this.#app.setErrorHandler<{ readonly statusCode?: number; readonly code?: string }>((error, request, reply) => {
      const isTheirs = error.statusCode !== undefined && error.statusCode < 500;
      if (isTheirs) return this.#malformed(request, reply);
      this.#options.events.broken(error.code ?? "internal");
      return reply.code(500).send();
    });
    // Before a body is read: who is unknown, shut out or too late is not listened to.
    this.#app.addHook("onRequest", async (request, reply) => {
      const caller = this.#callers.of(request.raw.socket);
      if (this.#draining) return this.#refuse(reply, caller, "draining");
      if (caller === null) return this.#refuse(reply, caller, "caller_not_allowed");
      if (this.#badInput.isShut(caller.name)) return this.#refuse(reply, caller, "overloaded");
      return undefined;
    });
    // A connection that finishes its request during a drain would else stay open until the hard end.
    this.#app.addHook("onSend", async ({ raw }, reply) => {
      if (this.#draining || !this.#current.has(raw.socket)) reply.header("connection", "close");
    });
  }

  async #lease(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const caller = this.#callers.of(request.raw.socket);
    const asked = decodeLeaseRequest(request.body);
    if (caller === null || asked === null) return this.#malformed(request, reply);
    if (this.#issuing >= MAX_ISSUES_AT_ONCE) return this.#refuse(reply, caller, "overloaded");
    this.#issuing++;
    try {
      return await this.#issue(caller, asked, waitOf(request.headers[WAIT_HEADER]), reply);
    } catch (thrown) {
      const reason = thrown instanceof LeaseRefusal ? thrown.reason : "source_unavailable";
      return this.#refuse(reply, caller, reason);
    } finally {
      this.#issuing--;
    }
  }

  async #issue(caller: Caller, asked: LeaseRequest, waitMs: number | null, reply: FastifyReply): Promise<FastifyReply> {
    const gone = new AbortController();
    const onClose = () => gone.abort();
    reply.raw.once("close", onClose);
    const limitMs = this.#options.issuer.longestIssueMs + 2_000;
    const grant = await within(
      Math.min(waitMs ?? limitMs, limitMs),
      gone.signal,
      (signal) => this.#options.issuer.issue(caller, asked, signal),
      (late) => zeroMaterial(late.material),
    );
    const body = JSON.stringify(encodeLeaseGrant(grant));
    zeroMaterial(grant.material);
    this.#answered(reply, caller, 200, null);
    return reply.code(200).header("cache-control", "no-store").type("application/json").send(body);
  }

  async #health({ raw }: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const caller = this.#callers.of(raw.socket);
    this.#answered(reply, caller, 200, null);
    return reply
      .code(200)
      .type("application/json")
      .send(JSON.stringify(encodeHealth(this.#options.health())));
  }

  async #malformed({ raw }: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const caller = this.#callers.of(raw.socket);
    if (caller !== null) this.#badInput.count(caller.name);
    return this.#refuse(reply, caller, "request_malformed");
  }

  #refuse(reply: FastifyReply, caller: Caller | null, reason: LeaseRefusalReason): FastifyReply {
    const problem = encodeProblem(reason);
    this.#answered(reply, caller, problem.status, reason);
    // A caller that is told to go away does not keep its connection.
    if (reason === "draining" || reason === "caller_not_allowed" || reason === "overloaded")
      reply.header("connection", "close");
    return reply.code(problem.status).type(PROBLEM_TYPE).send(JSON.stringify(problem));
  }

  #answered(reply: FastifyReply, caller: Caller | null, status: number, reason: LeaseRefusalReason | null): void {
    const durationMs = Math.round(reply.elapsedTime);
    this.#options.events.answered({ caller: caller?.name ?? "unknown", status, reason, durationMs });
  }

  #watchSockets(): void {
    this.#server.maxConnections = MAX_CONNECTIONS;
    const { tls, clock } = this.#options;
    this.#server.on(tls === null ? "connection" : "secureConnection", (socket: Socket) => {
      // A handshake that was under way when the certificates changed was made with those before.
      if (clock.monotonicMs() - this.#tlsSinceMs > HANDSHAKE_MS) this.#current.add(socket);
    });
    this.#server.on("tlsClientError", ({ code }: NodeJS.ErrnoException) =>
      this.#options.events.broken(code ?? "unknown"),
    );
  }
}
