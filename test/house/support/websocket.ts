import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";

/**
 * WebSocket echo on any path: text and binary come back, `close CODE` closes with that code, `ping TEXT` pings
 * with that text and tells what came back, `/ws-refuse` answers 403.
 * Offers permessage-deflate and takes the first subprotocol, so that both must survive the way.
 */
export function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
  if (request.url?.startsWith("/ws-refuse") === true) {
    socket.end("HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 4\r\nX-Why: test\r\n\r\nnot\n");
    return;
  }
  server.handleUpgrade(request, socket, head, (client) => {
    client.on("pong", (data) => client.send(`ponged: ${data.toString()}`));
    client.on("message", (data, binary) => {
      const text = binary || !Buffer.isBuffer(data) ? "" : data.toString("utf8");
      const ping = /^ping (.+)$/.exec(text);
      const close = /^close (\d+)$/.exec(text);
      if (ping !== null) client.ping(ping[1]);
      else if (close === null) client.send(data, { binary });
      else client.close(Number(close[1]), "asked to");
    });
  });
}

const server = new WebSocketServer({ noServer: true, perMessageDeflate: { threshold: 0 } });
