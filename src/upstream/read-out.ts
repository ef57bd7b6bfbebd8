import type { Socket } from "node:net";

/** Write errors after which the other side's last bytes can still be there to be read. */
const CODES = new Set(["EPIPE", "ECONNRESET"]);

/**
 * Lets a socket whose peer no longer takes what is sent be read to its end before it is destroyed. An upstream that answers
 * before it has read the request, and then closes, resets the connection (RFC 9112 §9.6): Linux keeps what came ahead of the
 * reset, but the next write fails first, and Node destroys the socket with it. After a reset nothing more comes, so that
 * everything was read when a turn of the event loop has brought nothing.
 * @param socket destroyed with the very error of the write, only later; from that error on it is not `writable`, and an `end`
 *   is none of the peer's. Every other end is as it was.
 */
export function readOutFirst(socket: Socket): void {
  const destroy = socket.destroy.bind(socket);
  let isBroken = false;
  const destroyLater = (error?: Error): Socket => {
    // Each write that was under way fails, not the first one alone.
    if (!isWriteError(error) || !forgive(socket)) return destroy(error);
    if (!isBroken) onceRead(socket, () => destroy(error));
    isBroken = true;
    return socket;
  };
  socket.destroy = destroyLater;
}

function isWriteError(error: NodeJS.ErrnoException | undefined): boolean {
  return error?.syscall === "write" && CODES.has(error.code ?? "");
}

/**
 * Node marks both sides of a socket as failed, and takes in nothing more then: undone for the side that can still be read.
 * @returns `false` where a future Node keeps that somewhere else
 */
function forgive(socket: Socket): boolean {
  const state: unknown = Reflect.get(socket, "_readableState");
  if (typeof state !== "object" || state === null) return false;
  Reflect.set(state, "errored", null);
  return socket.readable;
}

/** Calls `done` after a whole turn without a byte; a socket that nobody reads for now may have some yet. */
function onceRead(socket: Socket, done: () => void): void {
  const before = socket.bytesRead;
  // Two: the first one comes before sockets are looked at again.
  setImmediate(() =>
    setImmediate(() => {
      if (socket.destroyed) return;
      if (socket.isPaused()) socket.once("resume", () => onceRead(socket, done));
      else if (socket.bytesRead === before) done();
      else onceRead(socket, done);
    }),
  );
}
