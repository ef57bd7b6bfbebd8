import type { Socket } from "node:net";

/**
 * Ends a connection so that an answer which has begun looks broken. A FIN would make a close-delimited answer look whole, over
 * TLS too: many clients take any end of it for an orderly one.
 * @param transport the TCP or unix socket below `socket`, or `socket` itself
 */
export function breakOff(socket: Socket, transport: Socket): void {
  // A unix socket knows no reset, and asking it for one throws; one that is shutting down refuses it and would never close.
  if (transport.remoteAddress !== undefined && !socket.writableEnded) transport.resetAndDestroy();
  socket.destroy();
}

export function isTls(socket: Socket): boolean {
  return "encrypted" in socket;
}
