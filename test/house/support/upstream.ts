import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TestLeaf } from "./certificates.ts";
import { inTurn } from "./in-turn.ts";
import { record, type Demand, type Recorded } from "./recording.ts";
import { answer, refuse, type RouteContext } from "./routes.ts";
import { upgrade } from "./websocket.ts";

export interface UpstreamOptions {
  /** TLS with this certificate; absent = plain HTTP. */
  readonly tls?: TestLeaf & { readonly clientCa?: string };
  /** A request without it is answered 401 and counted. */
  readonly demand?: Demand;
  /** Bare git repositories for `/git/`; absent = 404. */
  readonly gitRoot?: string;
  /** Answers in place of `routes.ts` what brought the demanded credential. */
  readonly serve?: (request: IncomingMessage, response: ServerResponse, recorded: Recorded) => void;
  /** Loopback address to listen on; default 127.0.0.1. */
  readonly address?: string;
}

export interface Upstream {
  readonly address: string;
  readonly port: number;
  /** `https://127.0.0.1:PORT`; names go in front of the port with `urlFor` */
  readonly url: string;
  readonly scheme: "http" | "https";
  /** Every request whose head arrived, in order. */
  readonly requests: readonly Recorded[];
  /** Connections accepted so far, whether or not a request followed: 0 = not one packet was sent here. */
  readonly connections: number;
  /** Requests that came without the demanded credential. */
  credentialless(): number;
  /** The requests for one path, without its query. */
  requestsFor(path: string): Recorded[];
  urlFor(name: string, path: string): string;
  /** Forgets requests and counts, not connections that are open. */
  reset(): void;
  /** Resolves when `count` requests have arrived. @throws Error after `timeoutMs` */
  waitFor(count: number, timeoutMs?: number): Promise<void>;
  close(): Promise<void>;
}

/** A loopback upstream that demands a credential and records everything; its routes are in `routes.ts`. */
export async function startUpstream(options: UpstreamOptions = {}): Promise<Upstream> {
  const { demand = null, tls, address = "127.0.0.1" } = options;
  const log: Recorded[] = [];
  /** Remote port of a connection to its number: a TLS socket and the one below it share the port. */
  const numbers = new Map<number, number>();
  const sockets = new Set<Socket>();
  let connections = 0;
  let counted = 0;
  const context: RouteContext = { gitRoot: options.gitRoot ?? null, refusedOnce: new Set() };

  const take = (request: IncomingMessage): Recorded => {
    const recorded = record(request, demand, numbers.get(request.socket.remotePort ?? 0) ?? 0);
    log.push(recorded);
    return recorded;
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    // When it is read, and not when its turn comes: that of one behind a broken answer never does.
    const recorded = take(request);
    inTurn(response, () => {
      if (!recorded.credential) refuse(response);
      else if (options.serve !== undefined) options.serve(request, response, recorded);
      else answer(request, response, recorded, context);
    });
  };
  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const recorded = take(request);
    if (recorded.credential) upgrade(request, socket, head);
    else socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  };

  const settings = {
    maxHeaderSize: 1 << 20,
    keepAliveTimeout: 60_000,
    requestTimeout: 0,
    headersTimeout: 0,
    // Java offers h2c on every http:// request; such an offer is ignored as a server that lacks it would.
    shouldUpgradeCallback: (request: IncomingMessage) => request.headers.upgrade?.toLowerCase() === "websocket",
  };
  const server: Server =
    tls === undefined
      ? createServer(settings, onRequest)
      : createTlsServer(
          {
            ...settings,
            cert: tls.certificate,
            key: tls.key,
            ALPNProtocols: ["http/1.1"],
            ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }),
          },
          onRequest,
        );
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    if (!decidesItself(request)) inTurn(response, () => response.writeContinue());
    onRequest(request, response);
  });
  server.on("checkExpectation", onRequest);
  server.on("upgrade", onUpgrade);
  server.on("connection", (socket: Socket) => {
    connections++;
    counted++;
    numbers.set(socket.remotePort ?? 0, connections);
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((done, fail) => {
    server.once("error", fail);
    server.listen(0, address, done);
  });
  const { port } = server.address() as AddressInfo;
  const scheme = tls === undefined ? "http" : "https";
  const host = address.includes(":") ? `[${address}]` : address;

  return {
    address,
    port,
    scheme,
    url: `${scheme}://${host}:${port}`,
    requests: log,
    get connections() {
      return counted;
    },
    credentialless: () => log.filter(({ credential }) => !credential).length,
    requestsFor: (path) => log.filter(({ url }) => url.split("?")[0] === path),
    urlFor: (name, path) => `${scheme}://${name}:${port}${path}`,
    reset() {
      log.length = 0;
      counted = 0;
      context.refusedOnce.clear();
    },
    async waitFor(count, timeoutMs = 30_000) {
      const deadline = performance.now() + timeoutMs;
      while (log.length < count) {
        if (performance.now() > deadline)
          throw new Error(`${log.length} of ${count} requests came within ${timeoutMs} ms`);
        await new Promise((done) => setTimeout(done, 5));
      }
    },
    close: () =>
      new Promise((done, fail) => {
        server.close((error) => (error === undefined ? done() : fail(error)));
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Routes that are about the expectation, or that answer ahead of the body. */
function decidesItself(request: IncomingMessage): boolean {
  return /^\/(expect\/|early)/.test(request.url ?? "");
}
