import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { TestLeaf } from "./certificates.ts";
import { upgrade } from "./websocket.ts";

export interface CertifiedOptions {
  readonly tls: TestLeaf;
  /** PEM of the CA whose certificates are let in; everybody else gets a TLS alert. */
  readonly clientCa: string;
  /** What is spoken; default both. */
  readonly speaks?: readonly ("h2" | "http/1.1")[];
  readonly maxVersion?: "TLSv1.2" | "TLSv1.3";
  /** Streams of one HTTP/2 connection at a time. */
  readonly maxStreams?: number;
}

/** One request, and who its connection belongs to. */
export interface CertifiedRequest {
  readonly method: string;
  readonly path: string;
  readonly httpVersion: string;
  /** Subject alternative names of the verified client certificate. */
  readonly certificate: string;
  readonly authorization: string | null;
  /** Counts connections that were used, from 1. */
  readonly connection: number;
  /** The handshake was that of an earlier session. */
  readonly resumed: boolean;
}

export interface CertifiedUpstream {
  readonly address: string;
  readonly port: number;
  readonly scheme: "https";
  readonly requests: readonly CertifiedRequest[];
  /** Connections whose handshake ended well on this side. */
  readonly connections: number;
  /** Connections that are open, refused ones included. */
  readonly open: number;
  /** How handshakes failed. */
  readonly refused: readonly string[];
  /** Lets requests for `/hold` end. */
  letGo(): void;
  /** Ends every connection. */
  cut(): void;
  reset(): void;
  close(): Promise<void>;
}

/**
 * An upstream that lets in who shows a certificate of its client CA, over HTTP/1.1 and HTTP/2, and writes down whose each request
 * was. `/status/<code>` answers with that, `/once/<code>` the first time, `/hold` when it is told to.
 */
export async function startCertified(options: CertifiedOptions): Promise<CertifiedUpstream> {
  const { tls, clientCa, speaks = ["h2", "http/1.1"], maxVersion = "TLSv1.3" } = options;
  const requests: CertifiedRequest[] = [];
  const refused: string[] = [];
  const sockets = new Set<Socket>();
  const numbers = new WeakMap<object, number>();
  const held = new Set<() => void>();
  const answeredOnce = new Set<string>();
  let connections = 0;
  let used = 0;

  const note = (request: Http2ServerRequest | IncomingMessage, socket: TLSSocket, owner: object): void => {
    const connection = numbers.get(owner) ?? ++used;
    numbers.set(owner, connection);
    requests.push({
      method: request.method ?? "",
      path: request.url ?? "",
      httpVersion: request.httpVersion,
      certificate: socket.getPeerCertificate().subjectaltname ?? "",
      authorization: request.headers.authorization ?? null,
      connection,
      resumed: socket.isSessionReused(),
    });
  };
  const serve = (request: Http2ServerRequest, response: Http2ServerResponse): void => {
    const session = request.stream?.session;
    const socket = (session === undefined ? request.socket : session.socket) as TLSSocket;
    // The session's own socket is a stand-in for the real one.
    note(request, socket, session ?? socket);
    request.resume();
    const { url: path } = request;
    const asked = /^\/(status|once)\/(\d{3})/.exec(path);
    const isPlain = asked === null || (asked[1] === "once" && answeredOnce.has(path));
    answeredOnce.add(path);
    const answer = (): void => {
      response.writeHead(isPlain ? 200 : Number(asked[2]), { "content-type": "text/plain" });
      response.end("ok\n");
    };
    if (path === "/hold") held.add(answer);
    else request.on("end", answer);
  };
  const server = createSecureServer(
    {
      cert: tls.certificate,
      key: tls.key,
      ca: clientCa,
      requestCert: true,
      rejectUnauthorized: true,
      maxVersion,
      allowHTTP1: true,
      http1Options: { keepAliveTimeout: 60_000 },
      ALPNProtocols: [...speaks],
      ...(options.maxStreams !== undefined && { settings: { maxConcurrentStreams: options.maxStreams } }),
    },
    serve,
  );
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    note(request, request.socket as TLSSocket, request.socket);
    upgrade(request, socket, head);
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("secureConnection", () => void connections++);
  server.on("tlsClientError", ({ code }: NodeJS.ErrnoException) => void refused.push(code ?? "unknown"));
  server.on("sessionError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    scheme: "https",
    requests,
    get connections() {
      return connections;
    },
    get open() {
      return sockets.size;
    },
    refused,
    letGo() {
      for (const answer of held) answer();
      held.clear();
    },
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    reset() {
      requests.length = 0;
      refused.length = 0;
      answeredOnce.clear();
    },
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
