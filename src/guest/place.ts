import type { Socket } from "node:net";
import type { Authority } from "../core/authority.ts";
import type { Denial } from "../core/denial.ts";
import type { ExchangeRecord } from "../core/record.ts";
import type { ClientCertificate, SessionProof } from "../core/wire.ts";

/** Where a guest connection stands: on the listener, or inside a tunnel whose authority was fixed by CONNECT. */
export interface ConnectionPlace {
  readonly listener: string;
  /** Guest address as the accepted socket says, or the balancer before it (PROXY protocol). */
  readonly guest: string;
  /** Verified by the listener. */
  readonly clientCertificate: ClientCertificate | null;
  /** What was accepted, below any TLS: a reset is only known there. */
  readonly transport: Socket;
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
}

/**
 * Who asked for a tunnel and waits for the answer, in whatever protocol it asked: HTTP by CONNECT, SOCKS by its own request.
 */
export interface TunnelGuest {
  readonly socket: Socket;
  readonly place: ConnectionPlace;
  /** It closed its sending side or is gone altogether: no tunnel can begin. */
  readonly hasLeft: boolean;
  /** The edge ended it. */
  readonly wasCut: boolean;
  /**
   * Gives the socket away, paused and without listeners; bytes that came early are back in it.
   * @param watch keep an eye on silence and total life (raw tunnels)
   */
  release(watch: boolean): Socket;
  /** Answers with a denial and closes; the record is closed. */
  refuseTunnel(record: ExchangeRecord, denial: Denial): void;
  /** Ends the connection now. */
  cut(): void;
}

/** Takes a request for a tunnel over: from here on the socket is its own. */
export type TunnelOpener = (guest: TunnelGuest, request: TunnelRequest) => void;

export interface TunnelRequest {
  readonly authority: Authority;
  readonly proof: SessionProof;
  readonly record: ExchangeRecord;
}
