import type { UpstreamTimeouts } from "./states.ts";

/**
 * The life of one HTTP/2 stream, as a table that `http2-channel.ts` follows, as `states.ts` is that of an HTTP/1.1 connection.
 * A stream serves one exchange: none of its states leads back.
 */
export type StreamState = "held" | "requesting" | "awaiting_answer" | "answering" | "upgraded" | "closed";

interface Row {
  readonly next: readonly StreamState[];
  readonly timeout: keyof UpstreamTimeouts | null;
}

export const STREAM_STATES: Readonly<Record<StreamState, Row>> = {
  /** a place on the session is taken, nothing was sent; whoever holds it sends or gives it back at once */
  held: { next: ["requesting", "awaiting_answer", "closed"], timeout: null },
  /** a request with content is going out; 1xx or an early answer may come */
  requesting: { next: ["awaiting_answer", "answering", "closed"], timeout: "bodyIdleMs" },
  /** the request is complete, no final head yet */
  awaiting_answer: { next: ["answering", "upgraded", "closed"], timeout: "upstreamHeadMs" },
  /** the final head came, the body is being relayed; the request may still be going out (early answer); renewed by either */
  answering: { next: ["closed"], timeout: "bodyIdleMs" },
  /** the extended CONNECT was granted: raw bytes; the guest side watches the time */
  upgraded: { next: ["closed"], timeout: null },
  /** complete, reset by either side, or lost with its session */
  closed: { next: [], timeout: null },
};
