import fsp from "node:fs/promises";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import net from "node:net";
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

const JSON_TEXT = "application/json; charset=utf-8";

// An `import` of node:http would touch its lazy exports, WebSocket among them, and load 3 MB of undici.
const { createServer } = process.getBuiltinModule("node:http");

/** @throws Error with a next step when the address cannot be bound */
export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
  };
  const answer = answers(options);
  const server = createServer(limits, (request, response) => void answer(request, response));
  server.maxConnections = MAX_CONNECTIONS;
  server.on("clientError", (_error, socket) => socket.destroy());
  await bind(server, options.address);
  // Out of descriptors or the like: that connection is lost, the listener goes on.
  server.on("error", (error) => options.onError(error));
  const bound = server.address();
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  };
  if (bound === null || typeof bound === "string") return { address: `unix:${bound ?? ""}`, host: "", port: 0, close };
  return { address: hostPort(bound), host: bound.address, port: bound.port, close };
}

interface Page {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** Answers every request by itself; never rejects. */
function answers(options: AdminOptions): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const isOwnHost = hostGuard(options.hostNames ?? []);
  const pages = pagesOf(options);
  const pageFor = async (request: IncomingMessage): Promise<Page> => {
    if (!isOwnHost(request.headers.host, request.headers.origin))
      return plain(421, "This host name is not served here.\n");
    if (hasBody(request)) return plain(413, "No body is accepted here.\n");
    const isRead = request.method === "GET" || request.method === "HEAD";
    const page = isRead ? pages.get(request.url?.split("?", 1)[0] ?? "") : undefined;
    return page === undefined ? plain(404, "No such page.\n") : page();
  };
  return async (request, response) => {
    try {
      send(response, await pageFor(request));
    } catch (error) {
      options.onError(error);
      send(response, plain(500, "The edge failed to answer.\n"));
    }
  };
}

function pagesOf({ checks, metrics, onError }: AdminOptions): ReadonlyMap<string, () => Page | Promise<Page>> {
  const alive = (): Page => plain(200, "ok\n");
  return new Map<string, () => Page | Promise<Page>>([
    ["/livez", alive],
    ["/healthz", alive],
    [
      "/readyz",
      () => {
        const report = readiness(checks, onError);
        return { status: report.status === "unready" ? 503 : 200, type: JSON_TEXT, text: JSON.stringify(report) };
      },
    ],
    ["/metrics", async () => ({ status: 200, type: metrics.contentType, text: await metrics.text() })],
  ]);
}

function plain(status: number, text: string): Page {
  return { status, type: TEXT, text };
}

function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers["content-length"];
  return (length !== undefined && length !== "0") || headers["transfer-encoding"] !== undefined;
}

function send(response: ServerResponse, { status, type, text }: Page): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    // What follows a body that was not read cannot be told from it.
    ...(status === 413 ? { connection: "close" } : {}),
  });
  response.end(text);
}

async function bind(server: Server, address: AdminAddress): Promise<void> {
  const place = address.kind === "tcp" ? hostPort({ address: address.host, port: address.port }) : address.path;
  try {
    if (address.kind === "unix") await removeStaleSocket(address.path);
    await listening(
      server,
      address.kind === "tcp" ? { host: address.host, port: address.port } : { path: address.path },
    );
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const advice =
      code === "EADDRINUSE" ? "something else listens there: stop it or choose another address" : "choose another one";
    throw new Error(`admin.address: ${place} cannot be bound (${code || String(error)}): ${advice}`, { cause: error });
  }
}

function listening(server: Server, place: net.ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(place, () => {
      server.off("error", reject);
      resolve();
    });
  });
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
