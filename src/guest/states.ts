/**
 * The life of one guest connection, as a table that `connection.ts` follows: which state may follow which, which timeout runs
 * in it, and what the guest is told when that is over (`null` = the connection just closes).
 */
import type { DenialCode } from "../core/denial.ts";

export interface GuestTimeouts {
  /** A request head or a CONNECT, first byte to last, and a fresh connection's first byte, in `ms`. */
  readonly requestHeadMs: number;
  /** From the answer to CONNECT, or the begin of a connection to a TLS listener, to the end of the TLS handshake, in `ms`. */
  readonly tlsHelloMs: number;
  /** From the begin of a connection to the end of its PROXY header, in `ms`. */
  readonly proxyProtocolMs: number;
  /** Silence between two requests, in `ms`. */
  readonly guestIdleMs: number;
  /** Silence in the middle of a body or of a guest that does not read its answer, in `ms`. */
  readonly bodyIdleMs: number;
  /** Most time between two tunnels of a guest whose connections were ended for floods, in `ms`. */
  readonly afterFloodMs: number;
  /** For an answer to begin once the guest closed its sending side, in `ms`. */
  readonly halfCloseMs: number;
  /** Silence in a raw tunnel, in `ms`. */
  readonly tunnelIdleMs: number;
  /** Whole life of a tunnel, in `ms`. */
  readonly tunnelLifeMs: number;
  /** How long open exchanges may go on after a drain began, in `ms`. */
  readonly drainMs: number;
}

export type GuestState =
  | "fresh"
  | "idle"
  | "reading_head"
  | "deciding"
  | "awaiting_continue"
  | "relaying_body"
  | "answering"
  | "answered_early"
  | "handed_over"
  | "delivering"
  | "lingering"
  | "closed";

interface Row {
  readonly next: readonly GuestState[];
  readonly timeout: keyof GuestTimeouts | null;
  readonly onTimeout: DenialCode | null;
}

export const GUEST_STATES: Readonly<Record<GuestState, Row>> = {
  /** accepted, nothing read yet */
  fresh: {
    next: ["reading_head", "deciding", "delivering", "closed"],
    timeout: "requestHeadMs",
    onTimeout: null,
  },
  /** between two requests */
  idle: {
    next: ["reading_head", "deciding", "delivering", "closed"],
    timeout: "guestIdleMs",
    onTimeout: null,
  },
  /** part of a head has come; the deadline is not renewed by further bytes (slow headers) */
  reading_head: {
    next: ["deciding", "delivering", "closed"],
    timeout: "requestHeadMs",
    onTimeout: "request_timeout",
  },
  /** the line runs and has asked for no body yet; every stage has its own bound */
  deciding: {
    next: ["awaiting_continue", "relaying_body", "answering", "answered_early", "handed_over", "delivering", "closed"],
    timeout: null,
    onTimeout: null,
  },
  /** `Expect: 100-continue` went upstream; the guest waits for 100 or the final answer */
  awaiting_continue: {
    next: ["relaying_body", "answering", "answered_early", "closed"],
    timeout: null,
    onTimeout: null,
  },
  /** the request body is on its way; renewed by every segment */
  relaying_body: {
    next: ["answering", "answered_early", "closed"],
    timeout: "bodyIdleMs",
    onTimeout: "request_timeout",
  },
  /** the request is complete; the upstream's own deadlines bound the wait, `bodyIdleMs` a guest that does not read */
  answering: { next: ["idle", "handed_over", "delivering", "lingering", "closed"], timeout: null, onTimeout: null },
  /** the answer has begun although the request is not complete; both go on until the answer ends; renewed by either */
  answered_early: { next: ["answering", "delivering", "lingering", "closed"], timeout: "bodyIdleMs", onTimeout: null },
  /** the socket belongs to a tunnel or an upgraded stream, which watches its own time */
  handed_over: { next: ["closed"], timeout: null, onTimeout: null },
  /** answered and closing, but the guest has yet to read some of the answer; renewed as it does */
  delivering: { next: ["lingering", "closed"], timeout: "bodyIdleMs", onTimeout: null },
  /** all has been said: what still comes is read and thrown away for a moment, so that no reset eats the answer */
  lingering: { next: ["closed"], timeout: "requestHeadMs", onTimeout: null },
  closed: { next: [], timeout: null, onTimeout: null },
};
