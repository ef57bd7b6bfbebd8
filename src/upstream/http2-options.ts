import type { ClientSessionOptions } from "node:http2";
import type { AnswerLimits } from "./answer-reader.ts";

/** Bytes of one answer that the upstream may send ahead of what the guest takes. */
const STREAM_WINDOW_BYTES = 262_144;
/** Of all answers of one session together. */
export const SESSION_WINDOW_BYTES = 4_194_304;
/** RFC 7541 §4.1: what a field counts beside its name and value. */
const FIELD_OVERHEAD_BYTES = 32;

/** How a session is opened towards an upstream that may be hostile: what it can make the edge hold is bounded. */
export function sessionOptions(limits: AnswerLimits): ClientSessionOptions {
  const options: ClientSessionOptions & { readonly strictSingleValueFields: boolean } = {
    // `:status`, and the check in `http2-head.ts` that names what was broken.
    maxHeaderListPairs: Math.max(limits.headFields, limits.trailerFields) + 2,
    // What the guest may send was bounded before; Node's own bound would end the session of others with it.
    maxSendHeaderBlockLength: 2 ** 24,
    maxSessionMemory: 64,
    // Which fields occur twice is the guest's business, as over HTTP/1.1.
    strictSingleValueFields: false,
    settings: {
      enablePush: false,
      initialWindowSize: STREAM_WINDOW_BYTES,
      maxHeaderListSize: limits.headBytes + (limits.headFields + 2) * FIELD_OVERHEAD_BYTES,
    },
  };
  return options;
}
