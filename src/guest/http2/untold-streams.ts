import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Deadlined } from "../../core/deadline.ts";

/** As many as a client with a fault needs to see of its fault. */
const MOST_UNTOLD = 100;
/** A client may leave numbers out (RFC 9113 §5.1.1), although none is known that does: every other one is allowed for. */
const NUMBERS_A_STREAM = 2;
/** How often is looked, in `ms`, at the most. */
const LOOK_MS = 200;

/**
 * Finds a guest whose heads are reset by Node itself, one after the other: heads beyond every limit, such as those that a few
 * kilobytes of HPACK unfold to megabytes. Nobody is told of them, and nothing counts them; but each has a stream of its own.
 */
export class UntoldStreams implements Deadlined {
  deadlineMs: number;
  readonly #socket: Socket;
  readonly #session: ServerHttp2Session;
  readonly #onFlood: () => void;
  #told = 0;
  #bytesRead = 0;

  /**
   * @param socket of the session
   * @param onFlood told once
   */
  constructor(socket: Socket, session: ServerHttp2Session, nowMs: number, onFlood: () => void) {
    this.#socket = socket;
    this.#session = session;
    this.#onFlood = onFlood;
    this.deadlineMs = nowMs + LOOK_MS;
  }

  /** Node has told of a stream. */
  told(): void {
    this.#told++;
  }

  onDeadline(nowMs: number): void {
    if (this.#session.destroyed) return;
    this.deadlineMs = nowMs + LOOK_MS;
    const { bytesRead } = this.#socket;
    // Nearly all that are looked at are idle.
    if (bytesRead === this.#bytesRead) return;
    this.#bytesRead = bytesRead;
    // A guest's streams have odd numbers.
    const numbers = ((this.#session.state.lastProcStreamID ?? 0) + 1) / 2;
    if (numbers - NUMBERS_A_STREAM * this.#told <= MOST_UNTOLD) return;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#onFlood();
  }
}
