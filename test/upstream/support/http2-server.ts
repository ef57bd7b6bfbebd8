import { once } from "node:events";
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type SecureServerOptions,
  type ServerHttp2Stream,
  type ServerOptions,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { TestLeaf } from "../../house/support/certificates.ts";

/** One request as an HTTP/2 server of Node's saw it. */
export interface Asked2 {
  readonly stream: ServerHttp2Stream;
  /** Names and values in turn, pseudo fields among them. */
  readonly raw: readonly string[];
  /** Names that came never-indexed. */
  readonly sensitive: readonly string[];
  /** Counts sessions from 1. */
  readonly session: number;
  trailers: readonly string[];
  resetCode: number | null;
}

export interface Http2Upstream {
  readonly port: number;
  readonly requests: readonly Asked2[];
  /** Sockets accepted so far. */
  readonly connections: number;
  /** ALPN protocol of each TLS connection. */
  readonly protocols: readonly (string | false | null)[];
  readonly server: Http2Server | Http2SecureServer;
  readonly sockets: ReadonlySet<Socket>;
  close(): Promise<void>;
}

export interface Http2ServerOptions {
  /** TLS with this certificate; absent = h2c. */
  readonly tls?: TestLeaf;
  readonly settings?: ServerOptions["settings"];
  /** Also HTTP/1.1, by ALPN. */
  readonly allowHTTP1?: boolean;
}

/** A real HTTP/2 server on the loopback that does to each stream what the test says. */
export async function startHttp2(
  serve: (asked: Asked2) => void,
  { tls, settings, allowHTTP1 = false }: Http2ServerOptions = {},
): Promise<Http2Upstream> {
  const requests: Asked2[] = [];
  const sockets = new Set<Socket>();
  const protocols: (string | false | null)[] = [];
  let connections = 0;
  let sessions = 0;
  const numbers = new WeakMap<object, number>();
  const options = settings === undefined ? {} : { settings };
  const secure: SecureServerOptions =
    tls === undefined ? {} : { ...options, cert: tls.certificate, key: tls.key, allowHTTP1 };
  const server = tls === undefined ? createServer(options) : createSecureServer(secure);
  server.on("connection", (socket: Socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("secureConnection", (socket: Socket & { alpnProtocol: string | false | null }) => {
    protocols.push(socket.alpnProtocol);
  });
  server.on("session", (session: object) => numbers.set(session, ++sessions));
  server.on("sessionError", () => undefined);
  server.on("stream", (stream: ServerHttp2Stream, headers, _flags, raw: string[]) => {
    const asked: Asked2 = {
      stream,
      raw,
      sensitive: (headers as Record<symbol, string[]>)[SENSITIVE] ?? [],
      session: numbers.get(stream.session as object) ?? 0,
      trailers: [],
      resetCode: null,
    };
    stream.on("error", () => undefined);
    stream.on("trailers", (_trailers, _flags2, rawTrailers: string[]) => {
      asked.trailers = rawTrailers;
    });
    stream.on("close", () => {
      asked.resetCode = stream.rstCode;
    });
    requests.push(asked);
    serve(asked);
  });
  if (allowHTTP1)
    server.on("request", (request, response) => void (request.httpVersion === "1.1" && response.end("h1")));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    get connections() {
      return connections;
    },
    protocols,
    server,
    sockets,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

const SENSITIVE = process.getBuiltinModule("node:http2").sensitiveHeaders as unknown as symbol;
