import { Denial } from "../core/denial.ts";
import { Session, type SessionClaims } from "../core/exchange.ts";
import type { SessionPort } from "../core/ports.ts";
import type { SessionProof } from "../core/wire.ts";

/**
 * Sessions that a listener proves by itself: `open` (the one local session) and `listener` (a port or socket that belongs to
 * one session). What a guest says about itself is not looked at. Proofs by token or certificate join here, each in its own file.
 */
export class ListenerSessions implements SessionPort {
  readonly #sessions: ReadonlyMap<string, Session>;

  /** @param claims session of each listener, by the listener's name */
  constructor(claims: ReadonlyMap<string, SessionClaims>) {
    this.#sessions = new Map([...claims].map(([listener, claim]) => [listener, Session.prove(claim)]));
  }

  identify(proof: SessionProof): Session {
    const session = this.#sessions.get(proof.listener);
    if (session === undefined) throw new Denial("session_missing", { cause: "the listener has no session" });
    return session;
  }
}
