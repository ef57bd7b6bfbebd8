import { executionAsyncResource } from "node:async_hooks";
import type { Http2Session, Http2Stream } from "node:http2";

/**
 * The native half of a session has to outlive those of its streams.
 *
 * Node leaves them to the garbage collector. A stream whose head never ended or was refused still holds fields of nghttp2's, for a turn
 * or as long as a write is under way; where the session is collected first, Node ends the process: `Assertion failed:
 * (current_nghttp2_memory_) == (0)`. Frames that a peer chooses lead there, and no more than bad luck.
 */

/** What is collected with a stream, or later. */
const kept = new FinalizationRegistry<object>(() => undefined);
const natives = new WeakMap<Http2Session, object>();

/** @param session that was just opened */
export function rememberNative(session: Http2Session): void {
  // There is no stream ahead of SETTINGS (RFC 9113 §3.4), and Node tells of them from inside the native half.
  session.once("remoteSettings", () => natives.set(session, executionAsyncResource()));
  // A stream that nobody was told of is gone after two turns.
  session.once("close", () => {
    const native = natives.get(session);
    setImmediate(() => setImmediate(() => void native));
  });
}

/** @param stream that is about to be destroyed */
export function keepNativeOf(stream: Http2Stream): void {
  // Both sides came to their end: it holds nothing any more. That is nearly every one.
  if (stream.rstCode === 0 && stream.readableEnded && stream.writableFinished) return;
  const { session } = stream;
  const native = session === undefined ? undefined : natives.get(session);
  if (native !== undefined) kept.register(stream, native);
}
