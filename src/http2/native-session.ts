import { executionAsyncResource } from "node:async_hooks";
import type { Http2Session } from "node:http2";

/**
 * The native half of a session has to outlive those of its streams.
 *
 * A stream whose head never ended or was refused still holds fields of nghttp2's, and Node leaves it to the garbage collector as long
 * as a write of it is under way. Where the session is collected first, Node ends the process: `Assertion failed:
 * (current_nghttp2_memory_) == (0)`. Frames that a peer chooses lead there, and no more than bad luck. So no write is under way
 * when a session ends, and its native half is kept until its streams are gone.
 */

/** The socket of a session. */
export interface Transport {
  readonly destroyed: boolean;
}

interface Native {
  /** Set with the peer's SETTINGS. */
  session: object | null;
  readonly socket: Transport;
  /** Below the socket; a socket that is destroyed has none any more. */
  readonly handle: TlsHandle | null;
}

interface TlsHandle {
  /** Encrypted bytes that wait for the peer to read. */
  readonly writeQueueSize?: number;
  /** Gives up TLS, and tells of whatever was to be written that it was not. */
  destroySSL?(): void;
}

const natives = new WeakMap<Http2Session, Native>();

/** @param session that was just opened @param socket that it writes to */
export function keepNative(session: Http2Session, socket: Transport): void {
  const handle = (Reflect.get(socket, "_handle") ?? null) as TlsHandle | null;
  const native: Native = { session: null, socket, handle };
  natives.set(session, native);
  // There is no stream ahead of SETTINGS (RFC 9113 §3.4), and Node tells of them from inside the native half.
  session.once("remoteSettings", () => (native.session = executionAsyncResource()));
  // Its streams are gone after two turns.
  session.once("close", () => setImmediate(() => setImmediate(() => natives.delete(session))));
}

/** Before the end of a session: of writes that can no longer leave, Node would tell nobody once it has ended. */
export function cancelWrites(session: Http2Session): void {
  const native = natives.get(session);
  if (native === undefined) return;
  const { socket, handle } = native;
  if (socket.destroyed || (handle?.writeQueueSize ?? 0) > 0) handle?.destroySSL?.();
}
