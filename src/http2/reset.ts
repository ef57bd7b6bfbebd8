import type { Http2Stream } from "node:http2";
import { addAbortSignal } from "node:stream";

/**
 * Resets a stream with CANCEL, without ending what was being sent on it. `Http2Stream.close` will not do: it ends the writable
 * side first and lets that out ahead of the reset, so that a message which was broken off arrives as a whole one.
 * @param stream with an `error` listener
 */
export function cancelStream(stream: Http2Stream): void {
  // Node resets with CANCEL for an AbortError alone, and makes that by this way only.
  if (!stream.destroyed) addAbortSignal(ABORTED, stream);
}

/** The same with INTERNAL_ERROR: the fault is not the peer's. */
export function breakStream(stream: Http2Stream): void {
  if (!stream.destroyed) stream.destroy(new Error("broken off"));
}

const ABORTED = AbortSignal.abort();
