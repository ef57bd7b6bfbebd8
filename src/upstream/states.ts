/**
 * The life of one upstream connection, as a table that `connection.ts` follows: which state may follow which, and which
 * timeout runs in it. A connection is reused only by way of `idle`.
 */
export interface UpstreamTimeouts {
  /** Dialling, TLS included, in `ms`. */
  readonly upstreamConnectMs: number;
  /** From the end of the request to the final head, in `ms`. */
  readonly upstreamHeadMs: number;
  /** Silence in the middle of a body, in `ms`. */
  readonly bodyIdleMs: number;
  /** How long an idle connection is kept, in `ms`. */
  readonly upstreamKeepaliveMs: number;
}

export type UpstreamState = "idle" | "requesting" | "awaiting_answer" | "answering" | "upgraded" | "closed";

interface Row {
  readonly next: readonly UpstreamState[];
  readonly timeout: keyof UpstreamTimeouts | null;
}

export const UPSTREAM_STATES: Readonly<Record<UpstreamState, Row>> = {
  /** in the pool, or taken and not yet used; any byte that comes now poisons the connection */
  idle: { next: ["requesting", "awaiting_answer", "closed"], timeout: "upstreamKeepaliveMs" },
  /** a request with content is going out; 1xx or an early answer may come */
  requesting: { next: ["awaiting_answer", "answering", "upgraded", "closed"], timeout: "bodyIdleMs" },
  /** the request is complete, no final head yet */
  awaiting_answer: { next: ["answering", "upgraded", "idle", "closed"], timeout: "upstreamHeadMs" },
  /** the final head came, the body is being relayed; the request may still be going out (early answer); renewed by either */
  answering: { next: ["idle", "closed"], timeout: "bodyIdleMs" },
  /** 101: raw bytes; the guest side watches the time */
  upgraded: { next: ["closed"], timeout: null },
  /** broken, poisoned (bytes beyond the answer, answer before the request was complete) or ended: never reused */
  closed: { next: [], timeout: null },
};
