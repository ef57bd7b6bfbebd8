import { createServer, type AddressInfo, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { TestLeaf } from "./certificates.ts";

/** An upstream that answers with whatever bytes a test says, right or wrong. */
export interface RawUpstream {
  readonly address: string;
  readonly port: number;
  readonly scheme: "http" | "https";
  /** Bytes of every connection, Latin-1, in order of arrival. */
  readonly received: readonly string[];
  readonly connections: number;
  /** What was accepted for a connection, below any TLS: its FIN is no close_notify. */
  transportOf(socket: Socket): Socket;
  close(): Promise<void>;
}

/**
 * Resolves once a connection is gone, by a FIN or by a reset: one that is cut while bytes are on their way to it is reset,
 * for which `once(socket, "close")` of `node:events` would reject.
 */
export function closed(socket: Socket): Promise<void> {
  return new Promise((done) => {
    if (socket.closed) done();
    else socket.once("close", () => done());
  });
}

/**
 * @param respond called once a connection with its first bytes (Latin-1)
 * @param options `allowHalfOpen`: it ends its side when `respond` says so, and not because the other one did
 */
export async function startRawUpstream(
  respond: (socket: Socket, firstBytes: string) => void,
  options: { readonly tls?: TestLeaf; readonly allowHalfOpen?: boolean } = {},
): Promise<RawUpstream> {
  const { tls, allowHalfOpen = false } = options;
  const received: string[] = [];
  const sockets = new Set<Socket>();
  const onSocket = (socket: Socket): void => {
    const index = received.push("") - 1;
    sockets.add(socket);
    socket.setEncoding("latin1");
    // Whether and how the other side breaks off is what such tests are about.
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    socket.once("data", (text) => respond(socket, String(text)));
    socket.on("data", (text) => {
      received[index] = `${received[index]}${String(text)}`;
    });
  };
  const server =
    tls === undefined
      ? createServer({ allowHalfOpen }, onSocket)
      : createTlsServer({ allowHalfOpen, cert: tls.certificate, key: tls.key, ALPNProtocols: ["http/1.1"] }, onSocket);
  const transports = new Map<number | undefined, Socket>();
  server.on("connection", (socket: Socket) => transports.set(socket.remotePort, socket));
  await new Promise<void>((done, fail) => {
    server.once("error", fail);
    server.listen(0, "127.0.0.1", done);
  });
  return {
    address: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    scheme: tls === undefined ? "http" : "https",
    received,
    get connections() {
      return received.length;
    },
    transportOf: (socket) => transports.get(socket.remotePort) ?? socket,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
