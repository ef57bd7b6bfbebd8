import type { Http2Stream } from "node:http2";
import { outside } from "./outside.ts";

function endNothing(done: () => void): void {
  done();
}

/**
 * Resets a stream, so that the peer takes nothing for whole that is not.
 *
 * Node's `close` ends the sending side first. Where nghttp2 is just then reading or flushing, it holds the reset back, and the
 * end goes out ahead of it: half a message looks like all of it. So that end is not passed on here; the reset is put off until
 * nghttp2 is not at work; and one that is held back all the same leaves with the next write of the session, which reading causes.
 */
export function resetStream(stream: Http2Stream, code: number): void {
  if (stream.closed || stream.destroyed) return;
  stream._final = endNothing;
  outside(() => {
    stream.close(code);
    if (!stream.destroyed) stream._read(0);
  });
}
