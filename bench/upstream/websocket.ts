import type { Socket } from "node:net";
import { acceptOf, ClientFrames, FRAME_TO_CLIENT, MESSAGE_BYTES } from "../wire/websocket.ts";

const KEY = /\r\nsec-websocket-key: *(\S+) *\r\n/i;

/**
 * Takes the upgrade and says every message back as soon as it has come, each in a write of its own.
 * @param head of the request
 * @returns what is to be told of the bytes that follow
 * @throws Error when the request is no upgrade
 */
export function startEcho(socket: Socket, head: string): (chunk: Buffer) => void {
  const key = KEY.exec(head)?.[1];
  if (key === undefined || !/\r\nupgrade: *websocket *\r\n/i.test(head)) throw new Error("no WebSocket handshake");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${acceptOf(key)}\r\n\r\n`,
  );
  const frames = new ClientFrames(
    (payload) => {
      if (payload.length !== MESSAGE_BYTES) throw new Error("not the message that is echoed");
      socket.write(FRAME_TO_CLIENT);
    },
    () => socket.end(),
  );
  return (chunk) => frames.push(chunk);
}
