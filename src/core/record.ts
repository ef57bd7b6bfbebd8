import type { DenialCode } from "./denial.ts";

/** How an exchange ended. */
export type Outcome =
  /** the whole answer reached the guest */
  | "completed"
  /** refused with a denial */
  | "denied"
  /** the guest went away first */
  | "guest_aborted"
  /** the upstream broke its answer off; the guest saw a broken response */
  | "upstream_aborted"
  /** the edge ended it: drain, total life, revocation */
  | "edge_aborted";

export type ExchangeKind = "http" | "connect" | "tunnel" | "upgrade" | "connection";

/**
 * The account of one exchange: opened on the first line, filled in by the stages, closed in `finally`. Holds no header
 * value, no body, no secret; strings that a guest chose are bounded when they are written.
 */
export interface ExchangeRecord {
  /** Correlation id: what the guest is told. */
  readonly id: string;
  readonly kind: ExchangeKind;
  /** Wall clock, ms since the epoch. */
  readonly startedWallMs: number;
  /** Monotonic clock, ms. */
  readonly startedMs: number;
  endedMs: number;
  readonly listener: string;
  /** Guest address as the socket says. */
  readonly guest: string;
  tenant: string;
  session: string;
  method: string;
  scheme: string;
  /** Canonical authority, or "" when none could be parsed. */
  authority: string;
  /** Path without the query. */
  path: string;
  destination: string;
  rule: string;
  wouldDeny: DenialCode | null;
  denial: DenialCode | null;
  /** For operators: why. Bounded, never secret. */
  detail: string | null;
  /** Status that the guest saw, 0 when none. */
  status: number;
  outcome: Outcome;
  /** Address that was dialled, "" when none; through a parent, the parent's and what its CONNECT named. */
  upstream: string;
  /** Name of the parent that the connection goes through, "" when none was asked. */
  via: string;
  lease: string;
  resourceRef: string;
  /** A credential was attached to bytes that were sent. */
  injected: boolean;
  /** Masked copies of injected material found in the answer's head or trailers. */
  masked: number;
  retried: boolean;
  /** Body bytes. */
  bytesFromGuest: number;
  bytesToGuest: number;
  /** Monotonic ms at which the first answer byte came, 0 when none. */
  firstByteMs: number;
}
