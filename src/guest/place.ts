import type { ExchangeRecord } from "../core/record.ts";
import type { GuestConnection } from "./connection.ts";
import type { Socket } from "node:net";
import type { Authority } from "../core/authority.ts";
import type { SessionProof } from "../core/wire.ts";

/** Where a guest connection stands: on the listener, or inside a tunnel whose authority was fixed by CONNECT. */
export interface ConnectionPlace {
  readonly listener: string;
  /** Guest address as the accepted socket says. */
  readonly guest: string;
  readonly tunnel: TunnelPlace | null;
  /** Monotonic ms at which the connection ends whatever happens. */
  readonly endsAtMs: number;
}

export interface TunnelPlace {
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  /** Proof that came with the CONNECT. */
  readonly proof: SessionProof;
  /** Why nothing inside may pass: the TLS hello named no server or another one. */
  readonly refusal: "sni_missing" | "sni_mismatch" | null;
  /** What was accepted, below any TLS: a reset is only known there. */
  readonly transport: Socket;
}

/** Takes a CONNECT over: from here on the socket is its own. */
export type TunnelOpener = (connection: GuestConnection, request: ConnectRequest) => void;

export interface ConnectRequest {
  readonly authority: Authority;
  readonly proof: SessionProof;
  readonly record: ExchangeRecord;
}
