import { executionAsyncResource } from "node:async_hooks";
import type { Http2Session, Http2Stream } from "node:http2";

/**
 * The native half of a session has to outlive those of its streams.
 *
 * Node leaves them to the garbage collector. A stream whose head never ended or was refused still holds fields of nghttp2's, for a turn
 * or as long as a write is under way; where the session is collected first, or with it, Node ends the process: `Assertion failed:
 * (current_nghttp2_memory_) == (0)`. Frames that a peer chooses lead there, and no more than bad luck.
 */

/** What is collected after a stream. */
const kept = new FinalizationRegistry<object>(() => undefined);

/** The socket of a session. */
export interface Transport {
  readonly destroyed: boolean;
  destroy(): unknown;
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
  // A stream that nobody was told of is gone after two turns. Kept longer, it would be kept for ever by what Node binds to it.
  session.once("close", () => setImmediate(() => setImmediate(() => natives.delete(session))));
}

/** @param stream that is about to be destroyed */
export function keepNativeOf(stream: Http2Stream): void {
  // The peer has said all: no head of its is in the making. That is nearly every one.
  if (stream.endAfterHeaders || (stream.readableEnded && !stream.aborted)) return;
  const { session } = stream;
  const native = session === undefined ? null : (natives.get(session)?.session ?? null);
  if (native !== null) kept.register(stream, native);
}

/**
 * Before the end of a session over TLS: of writes that can no longer leave Node would tell nobody once it has ended, so that they
 * and their streams, and with those the session, would be kept for ever.
 * @param isForced what is still to be written may be lost; else it leaves when the peer reads it
 */
export function cancelWrites(session: Http2Session, isForced: boolean): void {
  const { socket, handle } = natives.get(session) ?? {};
  if (socket === undefined || handle?.destroySSL === undefined) return;
  // The peer does not read: nothing that is said now would reach it.
  if (isForced && (handle.writeQueueSize ?? 0) > 0) socket.destroy();
  // Only then: bytes that come without TLS and without a reader end the process as well.
  if (socket.destroyed) handle.destroySSL();
}
