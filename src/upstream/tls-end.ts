import type { Socket } from "node:net";
import { getSystemErrorName } from "node:util";

/** The parts of a TLS socket's handle that this file looks at: how Node reads, and the TCP handle below. */
interface TlsHandle {
  /** `false` while Node does not read, since whoever takes the data has enough. */
  readonly reading?: boolean;
  readonly _parent?: { readStart(): number; readStop(): number };
}

/**
 * Tells an end that the peer announced (TLS close_notify) from a bare FIN, which anybody on the way can send. RFC 9112 §9.8: an
 * answer that lasts until the connection closes is complete only after the former; with the latter it may be truncated.
 *
 * Node tells both by the same `end`. What differs is the TCP handle at the moment when TLS hands the end over: after a FIN it
 * reads no more, after a close_notify it still does. Asking it to begin says so: `EALREADY` while it reads. An end that comes
 * while Node does not read at all came with bytes that had been read before, so it is no FIN. Whatever else is found, a future
 * Node without these handles included, counts as a bare FIN.
 * @param socket before its end was handed over; a plain one knows no other end than a FIN
 * @returns asked after `end`: whether the end can be trusted to be the peer's
 */
export function watchEnd(socket: Socket): () => boolean {
  if (!("encrypted" in socket)) return () => true;
  let isAnnounced = false;
  const push = socket.push.bind(socket);
  const pushWatched = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null) isAnnounced = isTcpOpen(socket);
    return push(chunk, encoding);
  };
  socket.push = pushWatched;
  return () => isAnnounced;
}

function isTcpOpen(socket: Socket): boolean {
  const handle = Reflect.get(socket, "_handle") as TlsHandle | null | undefined;
  if (handle?.reading === false) return true;
  const tcp = handle?._parent;
  if (tcp === undefined) return false;
  const answer = tcp.readStart();
  if (answer === 0) tcp.readStop();
  return answer < 0 && getSystemErrorName(answer) === "EALREADY";
}
