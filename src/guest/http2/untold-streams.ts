import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Deadlined } from "../../core/deadline.ts";

/** As many as a client with a fault needs to see of its fault. */
const MOST_UNTOLD = 20;
/** Clients begin so many before they have read our limit; nobody is told of those beyond it. */
const EARLY_STREAMS = 100;
/** A client may leave numbers out (RFC 9113 §5.1.1), although none is known that does: every other one is allowed for. */
const NUMBERS_A_STREAM = 2;
/** How soon a connection is looked at again on which something came, in `ms`, and how soon an idle one. */
const LOOK_MS = 5;
const IDLE_LOOK_MS = 200;

/**
 * Finds a guest whose heads are reset by Node itself, one after the other: heads beyond every limit, such as those that a few
 * kilobytes of HPACK unfold to megabytes. Nobody is told of them, and nothing counts them; but each has a stream of its own.
 */
export class UntoldStreams implements Deadlined {
  /** Of an idle one: no timer is worth it. */
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly #socket: Socket;
  readonly #session: ServerHttp2Session;
  readonly #nowMs: () => number;
  readonly #onFlood: () => void;
  readonly #most: number;
  readonly #timer: NodeJS.Timeout;
  #told = 0;
  #bytesRead = 0;

  /**
   * @param socket of the session
   * @param limit streams at a time
   * @param nowMs monotonic clock
   * @param onFlood told once
   */
  constructor(socket: Socket, session: ServerHttp2Session, limit: number, nowMs: () => number, onFlood: () => void) {
    this.#socket = socket;
    this.#session = session;
    this.#most = MOST_UNTOLD + Math.max(0, EARLY_STREAMS - limit);
    this.#nowMs = nowMs;
    this.#onFlood = onFlood;
    this.#timer = setTimeout(() => this.#look(), LOOK_MS).unref();
  }

  /** Node has told of a stream. */
  tell(): void {
    this.#told++;
  }

  /** Streams that Node has told of. */
  get told(): number {
    return this.#told;
  }

  onDeadline(): void {
    this.#look();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    if (this.#session.destroyed) return;
    const { bytesRead } = this.#socket;
    if (bytesRead === this.#bytesRead) {
      this.deadlineMs = this.#nowMs() + IDLE_LOOK_MS;
      return;
    }
    this.#bytesRead = bytesRead;
    if (this.isFlood) this.#onFlood();
    else this.#timer.refresh();
  }

  /** So far, and as long as the session is there. */
  get isFlood(): boolean {
    // A guest's streams have odd numbers.
    const numbers = ((this.#session.state.lastProcStreamID ?? 0) + 1) / 2;
    return numbers - NUMBERS_A_STREAM * this.#told > this.#most;
  }
}
