import fsp from "node:fs/promises";
import net from "node:net";
import Fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import { hostGuard } from "./host-guard.ts";
import type { ReadinessCheck } from "./checks.ts";
import { readiness } from "./readiness.ts";

/**
 * This folder is the listener for operators: `/metrics`, `/livez`, `/healthz`, `/readyz`, and no other route. It has an address
 * of its own that guests cannot reach, takes no body, and answers with nothing that a guest chose.
 */
export interface AdminOptions {
  readonly address: AdminAddress;
  readonly checks: readonly ReadinessCheck[];
  /** The metrics as text, and their content type. */
  readonly metrics: { text(): Promise<string>; readonly contentType: string };
  /** Names beside `localhost` and IP literals that `Host` may say (DNS rebinding), such as a service name. */
  readonly hostNames?: readonly string[];
  /** Told of what went wrong while answering; must not throw. */
  readonly onError: (error: unknown) => void;
}

export type AdminAddress =
  /** `host` is an IP text; port 0 lets the system choose. */
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  /** A stale socket of a process that died is replaced. */
  | { readonly kind: "unix"; readonly path: string };

export interface Admin {
  /** Bound address: `127.0.0.1:9464` or `unix:/path`. */
  readonly address: string;
  /** Bound IP, "" for a unix socket. */
  readonly host: string;
  /** Bound port, 0 for a unix socket. */
  readonly port: number;
  close(): Promise<void>;
}

const REQUEST_TIMEOUT_MS = 5000;
const MAX_CONNECTIONS = 64;
const MAX_HEADER_BYTES = 8192;
const TEXT = "text/plain; charset=utf-8";

/** No route here has a schema: without compilers of our own fastify loads its usual ones, 2 MB and 90 modules. */
const NO_SCHEMAS = { buildValidator: noSchemas, buildSerializer: noSchemas };

function noSchemas(): never {
  throw new Error("routes of the admin listener have no schemas");
}

/** @throws Error with a next step when the address cannot be bound */
export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const app = Fastify({
    logger: false,
    schemaController: { compilersFactory: NO_SCHEMAS },
    bodyLimit: 1,
    exposeHeadRoutes: true,
    forceCloseConnections: true,
    requestTimeout: REQUEST_TIMEOUT_MS,
    http: { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: REQUEST_TIMEOUT_MS },
    frameworkErrors: (_error, _request, reply: FastifyReply) => {
      void reply.code(400).type(TEXT).send("No such page.\n");
    },
    clientErrorHandler: (_error, socket) => socket.destroy(),
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  route(app, options);
  await bind(app, options.address);
  const bound = app.server.address();
  const close = (): Promise<void> => app.close();
  if (bound === null || typeof bound === "string") return { address: `unix:${bound ?? ""}`, host: "", port: 0, close };
  return { address: hostPort(bound), host: bound.address, port: bound.port, close };
}

function route(app: FastifyInstance, { checks, metrics, hostNames = [], onError }: AdminOptions): void {
  const isOwnHost = hostGuard(hostNames);
  app.addHook("onRequest", async (request, reply) => {
    reply.header("cache-control", "no-store").header("x-content-type-options", "nosniff");
    if (!isOwnHost(request.headers.host, request.headers.origin))
      return reply.code(421).type(TEXT).send("This host name is not served here.\n");
    const { "content-length": length, "transfer-encoding": coding } = request.headers;
    if ((length !== undefined && length !== "0") || coding !== undefined)
      return reply.code(413).header("connection", "close").type(TEXT).send("No body is accepted here.\n");
  });
  app.setNotFoundHandler((_request, reply) => reply.code(404).type(TEXT).send("No such page.\n"));
  app.setErrorHandler((error, _request, reply) => {
    onError(error);
    return reply.code(500).type(TEXT).send("The edge failed to answer.\n");
  });
  const alive = (_request: unknown, reply: FastifyReply): FastifyReply => reply.type(TEXT).send("ok\n");
  app.get("/livez", alive);
  app.get("/healthz", alive);
  app.get("/readyz", (_request, reply) => {
    const report = readiness(checks, onError);
    return reply.code(report.status === "unready" ? 503 : 200).send(report);
  });
  app.get("/metrics", async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));
}

async function bind(app: FastifyInstance, address: AdminAddress): Promise<void> {
  const place = address.kind === "tcp" ? hostPort({ address: address.host, port: address.port }) : address.path;
  try {
    if (address.kind === "tcp") await app.listen({ host: address.host, port: address.port });
    else {
      await removeStaleSocket(address.path);
      await app.listen({ path: address.path });
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const advice =
      code === "EADDRINUSE" ? "something else listens there: stop it or choose another address" : "choose another one";
    throw new Error(`admin.address: ${place} cannot be bound (${code || String(error)}): ${advice}`, { cause: error });
  }
}

/** A socket that nobody answers was left by a process that died; anything else is left alone. */
async function removeStaleSocket(path: string): Promise<void> {
  const stat = await fsp.lstat(path).catch(() => null);
  if (stat === null || !stat.isSocket()) return;
  const refused = await new Promise<boolean>((resolve) => {
    const probe = net.connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(false);
    });
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
  });
  if (refused) await fsp.rm(path, { force: true });
}

function hostPort({ address, port }: { readonly address: string; readonly port: number }): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
