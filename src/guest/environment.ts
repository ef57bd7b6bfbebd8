import type { Socket } from "node:net";
import type { SecureContext } from "node:tls";
import type { Authority } from "../core/authority.ts";
import type { DeadlineSweep } from "../core/deadline.ts";
import type { BodyLimits } from "../http1/body.ts";
import type { HeadLimits } from "../http1/head.ts";
import type { Line } from "../line/line.ts";
import type { FloodHold } from "./flood-hold.ts";
import type { GuestCounts } from "./guest-counts.ts";
import type { PipelineTurns } from "./pipeline-turns.ts";
import type { RunningExchanges } from "./running.ts";
import type { GuestTimeouts } from "./states.ts";

/** Certificates for opened tunnels. */
export interface LeafPort {
  /** Context with a leaf for this authority; minted when there is none yet. */
  contextFor(authority: Authority): SecureContext;
  /** Mints a leaf for this authority unless there is one, ahead of the handshake that will ask for it. */
  prepare(authority: Authority): void;
}

/** What happens at the guest side; for metrics. */
export interface GuestEvents {
  connectionOpened(): void;
  connectionClosed(): void;
  tunnelOpened(): void;
  tunnelClosed(): void;
}

export interface GuestLimits extends HeadLimits, BodyLimits {
  /** Guest connections in all, and as many HTTP/2 streams. */
  readonly connections: number;
  /** Guest connections from one address, and as many HTTP/2 streams. */
  readonly connectionsPerGuest: number;
  /** Streams of one HTTP/2 connection at a time; 0: HTTP/2 is not offered. */
  readonly http2Streams: number;
}

/** A connection as its owner sees it, whatever it speaks. */
export interface HeldConnection {
  readonly socket: Socket;
  /** A drain began: end what is idle, begin nothing new. */
  drain(): void;
  /** Ends it now, with whatever runs on it. */
  cut(): void;
  /** Its last words leave in the next phase of the event loop: what it runs in must not end before. */
  readonly saysGoodbye?: true;
}

/** Everything that guest connections share. */
export interface GuestEnvironment {
  readonly line: Line;
  readonly sweep: DeadlineSweep;
  readonly limits: GuestLimits;
  readonly timeouts: GuestTimeouts;
  readonly leaves: LeafPort;
  readonly events: GuestEvents;
  /** A connection inside a tunnel: its owner must know of it to drain it. */
  readonly onConnection: (connection: HeldConnection) => void;
  /** HTTP/2 streams of all guests: each may hold a window full of bytes that nobody has asked for yet. */
  readonly streams: GuestCounts;
  /** Guests that have flooded. */
  readonly floods: FloodHold;
  /** Whose turn it is among HTTP/1.1 connections that have more than one request to begin. */
  readonly turns: PipelineTurns;
  /** Exchanges and tunnels whose record is open. */
  readonly running: RunningExchanges;
  /** A new correlation id. */
  readonly nextId: () => string;
  /** Open exchanges finish, nothing new begins. */
  readonly isDraining: () => boolean;
}
