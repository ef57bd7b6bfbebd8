import type { Http2Session, Http2Stream } from "node:http2";
import { ERROR_CODE } from "./codes.ts";
import { cancelWrites, keepNative, keepNativeOf, type Transport } from "./native-session.ts";

/**
 * Ends of streams and sessions that wait until nghttp2 is not at work.
 *
 * Node hands over frames from inside nghttp2, which is in the middle of what was read, and runs there as well whatever that put off
 * (`nextTick`, promises). What is ended there is ended by half: a destroyed stream stays where nghttp2 finds it and is asked for
 * its trailers, a reset may write, and with that free what nghttp2 still uses. Either ends the process: `Assertion failed:
 * !this->is_destroyed()`. Frames that a peer chooses lead there, so that nothing may be ended before the next phase of the event
 * loop; nor by Node itself, which is why its `destroy` is replaced.
 */

/** nghttp2's codes below this one: it has given up, is not at work any more, and must not be given more. */
const FATAL = -900;

const ending = new WeakSet<Http2Session>();
let isOutside = false;

/** Runs `step` in the next phase of the event loop, where whatever ends a stream or a session does so at once. */
export function outside(step: () => void): void {
  setImmediate(() => atOnce(step));
}

function atOnce(step: () => void): void {
  const before = isOutside;
  isOutside = true;
  try {
    step();
  } finally {
    isOutside = before;
  }
}

/** @param stream that was just opened */
export function endStreamOutside(stream: Http2Stream): void {
  stream.destroy = destroyStream;
}

/** @param session that was just opened @param socket that it writes to */
export function endSessionOutside(session: Http2Session, socket: Transport): void {
  keepNative(session, socket);
  session.destroy = destroySession;
}

/** @param isForced what the peer has not read yet may be lost; else it may read it */
export function endSession(session: Http2Session, isForced: boolean): void {
  session.destroy(undefined, isForced ? ERROR_CODE.none : undefined);
}

// Functions of the module, and not of each stream: thousands of those would live long (docs/decisions/0028).

function destroyStream(this: Http2Stream, error?: Error): Http2Stream {
  if (!this.destroyed) keepNativeOf(this);
  if (isOutside) ownDestroy(this).call(this, error);
  else outside(() => ownDestroy(this).call(this, error));
  return this;
}

function destroySession(this: Http2Session, error?: Error, code?: number): void {
  const isEndNow = isOutside || isFatal(error);
  if (!isEndNow && ending.has(this)) return;
  ending.add(this);
  // Whoever gives a reason does not wait for a peer that reads nothing: see `endSession`.
  const end = (): void => {
    cancelWrites(this, error !== undefined || code !== undefined);
    ownDestroy(this).call(this, error, code);
  };
  if (isEndNow) atOnce(end);
  else outside(end);
}

/** What Node wrote, which stands behind what was written over it. */
function ownDestroy<Ended extends Http2Stream | Http2Session>(ended: Ended): Ended["destroy"] {
  return (Object.getPrototypeOf(ended) as Ended).destroy;
}

/** It was destroyed, or will be in a moment: nothing may begin on it. */
export function isEnded(session: Http2Session): boolean {
  return session.destroyed || ending.has(session);
}

function isFatal(error: NodeJS.ErrnoException | undefined): boolean {
  return error?.errno !== undefined && error.code?.startsWith("ERR_HTTP2") === true && error.errno < FATAL;
}
