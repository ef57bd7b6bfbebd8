import type { Socket } from "node:net";

/**
 * Ends a connection so that an answer which has begun looks broken. A FIN would make a close-delimited answer look whole, over
 * TLS too: many clients take any end of it for an orderly one.
 * @param transport the TCP or unix socket below `socket`, or `socket` itself
 */
export function breakOff(socket: Socket, transport: Socket): void {
  // One that is shutting down refuses a reset and would never close; it does so once nothing waits to be written.
  const isShuttingDown = socket.writableEnded && socket.writableLength === 0;
  // A unix socket knows no reset, and asking it for one throws.
  if (transport.remoteAddress !== undefined && !isShuttingDown) transport.resetAndDestroy();
  socket.destroy();
}

/** Ends a connection on which no answer is under way; what waits to be written is the rest of one, and lost. */
export function endAtOnce(socket: Socket, transport: Socket): void {
  if (socket.writableLength > 0) breakOff(socket, transport);
  else socket.destroy();
}

export function isTls(socket: Socket): boolean {
  return "encrypted" in socket;
}
