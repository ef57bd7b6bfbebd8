import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { pipeline } from "node:stream";

/** A port of its own for programs that know no proxy: each connection is led through a CONNECT of its own. */
export interface ConnectRelay {
  readonly port: number;
  close(): Promise<void>;
}

/** @param authority what every connection is a tunnel to */
export async function startConnectRelay(proxyPort: number, authority: string): Promise<ConnectRelay> {
  const sockets = new Set<Socket>();
  const hold = (socket: Socket): void => {
    sockets.add(socket);
    // `close` follows every error.
    socket.on("error", () => undefined);
    socket.once("close", () => sockets.delete(socket));
  };
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (guest) => {
    const edge = connect({ port: proxyPort, host: "127.0.0.1", allowHalfOpen: true });
    hold(guest);
    hold(edge);
    edge.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    let answer = "";
    const onData = (chunk: Buffer): void => {
      answer += chunk.toString("latin1");
      if (!answer.endsWith("\r\n\r\n")) return;
      edge.off("data", onData);
      if (!answer.startsWith("HTTP/1.1 200")) {
        guest.destroy();
        return;
      }
      // How a side ends is for the other one to see, not for this relay.
      pipeline(guest, edge, () => undefined);
      pipeline(edge, guest, () => undefined);
    };
    edge.on("data", onData);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
