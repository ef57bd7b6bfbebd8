import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { TestLeaf } from "./certificates.ts";
import { freePorts } from "./postern-process.ts";

export interface ParentProxyOptions {
  /** Spoken to over TLS with this certificate. */
  readonly tls?: TestLeaf;
  /** `Proxy-Authorization` that it demands; without it 407. */
  readonly demand?: string;
  /** Names that it resolves; all lead to 127.0.0.1. */
  readonly names?: readonly string[];
  /** Answers in place of the proxy, with what came so far; `true` = it did. */
  readonly answer?: (socket: Socket, asked: Asked) => boolean;
  /** Default: one that nobody else is given when it is dead. */
  readonly port?: number;
}

/** One CONNECT as the parent read it. */
export interface Asked {
  readonly target: string;
  /** The whole head as it came, Latin-1. */
  readonly head: string;
  readonly authorization: string | null;
  /** Counts connections from 1. */
  readonly connection: number;
}

/** A forward proxy that does CONNECT and nothing else, and writes down what it was asked. */
export interface ParentProxy {
  readonly port: number;
  readonly asked: readonly Asked[];
  readonly connections: number;
  /** Bytes that came on any connection, ahead of a tunnel. */
  readonly received: () => string;
  reset(): void;
  /** Ends every connection and takes no more. */
  kill(): Promise<void>;
}

export async function startParentProxy(options: ParentProxyOptions = {}): Promise<ParentProxy> {
  const asked: Asked[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  let received = "";
  const serve = (socket: Socket): void => {
    const connection = ++connections;
    let head = "";
    const onData = (chunk: Buffer): void => {
      received += chunk.toString("latin1");
      head += chunk.toString("latin1");
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      socket.off("data", onData);
      const rest = Buffer.from(head.slice(end + 4), "latin1");
      const one = askedOf(head.slice(0, end + 4), connection);
      asked.push(one);
      if (options.answer?.(socket, one) === true) return;
      tunnel(socket, one, rest, options, sockets);
    };
    socket.on("data", onData);
  };
  const server: Server =
    options.tls === undefined
      ? createServer({ allowHalfOpen: true, noDelay: true }, serve)
      : createTlsServer(
          { cert: options.tls.certificate, key: options.tls.key, allowHalfOpen: true, noDelay: true },
          serve,
        );
  // Both layers of a TLS connection are to go when the proxy is killed.
  server.on("connection", (socket: Socket) => keep(sockets, socket));
  const [port = 0] = options.port === undefined ? await freePorts(1) : [options.port];
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    port,
    asked,
    get connections() {
      return connections;
    },
    received: () => received,
    reset() {
      asked.length = 0;
      connections = 0;
      received = "";
    },
    kill: () =>
      new Promise((resolve) => {
        if (!server.listening) return resolve();
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function askedOf(head: string, connection: number): Asked {
  const target = /^CONNECT (\S+) HTTP\/1\.1\r\n/.exec(head)?.[1] ?? "";
  const authorization = /\r\nproxy-authorization: ([^\r]*)\r\n/i.exec(head)?.[1] ?? null;
  return { target, head, authorization, connection };
}

function tunnel(
  socket: Socket,
  { target, authorization }: Asked,
  rest: Buffer,
  { demand, names = [] }: ParentProxyOptions,
  sockets: Set<Socket>,
): void {
  const refuse = (line: string, more = ""): void =>
    void socket.end(`HTTP/1.1 ${line}\r\n${more}Content-Length: 3\r\n\r\nno\n`);
  if (demand !== undefined && authorization !== demand) {
    refuse("407 Proxy Authentication Required", 'Proxy-Authenticate: Basic realm="corp"\r\n');
    return;
  }
  const split = target.lastIndexOf(":");
  const host = target.slice(0, split).replace(/^\[|\]$/g, "");
  const isAddress = /^[0-9.]+$|:/.test(host);
  if (!isAddress && !names.includes(host)) {
    refuse("503 Service Unavailable");
    return;
  }
  const upstream = connect({
    host: isAddress ? host : "127.0.0.1",
    port: Number(target.slice(split + 1)),
    allowHalfOpen: true,
    noDelay: true,
  });
  keep(sockets, upstream);
  upstream.on("connect", () => {
    // RFC 9110 §9.3.6: the fields mean nothing here, and real proxies send them.
    socket.write("HTTP/1.1 200 Connection established\r\nContent-Length: 12\r\n\r\n");
    upstream.write(rest);
    upstream.pipe(socket);
    socket.pipe(upstream);
  });
  upstream.on("close", () => socket.destroy());
  socket.on("close", () => upstream.destroy());
  upstream.on("error", () => refuse("502 Bad Gateway"));
}

function keep(sockets: Set<Socket>, socket: Socket): void {
  sockets.add(socket);
  socket.on("error", () => undefined);
  socket.on("close", () => sockets.delete(socket));
}
