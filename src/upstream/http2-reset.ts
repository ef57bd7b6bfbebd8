import type { ClientHttp2Stream } from "node:http2";

/**
 * Resets a stream, so that the upstream stops at once and takes nothing for whole that is not.
 *
 * Node's `close` ends the sending side first. Where nghttp2 is just then reading or flushing, it holds the reset back, and the
 * end goes out ahead of it: half a request body looks like all of it. With trailers promised, Node even aborts the process, when
 * it destroys a stream of which nghttp2 still asks for them. So that end is not passed on here; and a reset that is held back
 * leaves with the next write of the session, which reading causes.
 */
export function resetStream(stream: ClientHttp2Stream, code: number): void {
  if (stream.closed || stream.destroyed) return;
  stream._final = (done) => done();
  stream.close(code);
  if (!stream.destroyed) stream._read(0);
}
