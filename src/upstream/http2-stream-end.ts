import type { ClientHttp2Stream } from "node:http2";
import { Denial } from "../core/denial.ts";
import { certificateRefused } from "./tls-alerts.ts";
import { codeName, ERROR_CODE } from "../http2/codes.ts";

/** How a stream ended that did not end well. */
export interface Loss {
  readonly denial: Denial;
  /** The upstream says that it did nothing of what was asked (RFC 9113 §8.7): it may be asked again, whatever it was. */
  readonly refused: boolean;
  /** With which error code the upstream reset the stream, or `null`. */
  readonly code: number | null;
}

export interface StreamEnd {
  /** Asked after `end`: whether END_STREAM was there, so that nothing is missing. */
  readonly isTrue: boolean;
  /** Asked after `close` @param error what the stream emitted */
  loss(error: NodeJS.ErrnoException | null, session: { readonly isLost: boolean; readonly lastStreamId: number }): Loss;
}

/** Error codes of an upstream that was spoken to wrongly, or spoke so; said by either side. */
const PROTOCOL_CODES: ReadonlySet<number> = new Set([
  ERROR_CODE.protocol,
  ERROR_CODE.flowControl,
  ERROR_CODE.frameSize,
  ERROR_CODE.compression,
  ERROR_CODE.enhanceYourCalm,
]);

/**
 * Watches how a stream ends. Node tells a reset with NO_ERROR by the same `end` as END_STREAM, and an answer without a length would
 * seem whole; what differs is that a stream which was reset is closed by the time its end is put in.
 * @param stream before anything came
 */
export function streamEnd(stream: ClientHttp2Stream): StreamEnd {
  let isTrue = false;
  const push = stream.push.bind(stream);
  const pushWatched = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && !stream.closed) isTrue = true;
    return push(chunk, encoding);
  };
  stream.push = pushWatched;
  return {
    get isTrue() {
      return isTrue;
    },
    loss(error, { isLost, lastStreamId }) {
      const code = stream.rstCode;
      const refused = code === ERROR_CODE.refusedStream || (stream.id ?? Number.POSITIVE_INFINITY) > lastStreamId;
      if (isLost) return { denial: lostDenial(error), refused, code: refused ? ERROR_CODE.refusedStream : null };
      const broken = PROTOCOL_CODES.has(code);
      return {
        denial: new Denial(broken ? "upstream_protocol" : "upstream_unreachable", {
          cause: `the stream was reset: ${codeName(code)}`,
        }),
        refused,
        // Nothing ended without an error that has no end: to a guest NO_ERROR could mean that it did.
        code: code === ERROR_CODE.none ? ERROR_CODE.internal : code,
      };
    },
  };
}

/** @param error of the session, when it was one */
export function lostDenial(error: NodeJS.ErrnoException | null): Denial {
  const refusal = certificateRefused(error);
  if (refusal !== null) return refusal;
  // What nghttp2 finds wrong with what the upstream sends.
  const broken = error?.code === "ERR_HTTP2_ERROR";
  const cause = error ?? "the connection closed";
  return new Denial(broken ? "upstream_protocol" : "upstream_unreachable", { cause });
}
