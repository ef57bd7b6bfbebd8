import type { Socket } from "node:net";

/**
 * Bytes that are thrown away from a guest that was answered and still sends; the state's timeout bounds it as well. Megabytes
 * are on the way in socket buffers alone, and many clients read nothing before they have sent everything: a reset would take
 * the answer from them.
 */
export const LINGER_BYTES = 67_108_864;

/** Answered and closing (RFC 9112 §9.6): FIN is sent, and what still comes is read for a little longer, so that no reset overtakes the answer. */
export class Linger {
  readonly #socket: Socket;
  #bytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** @param inputEnded the guest sends no more: there is nothing to wait for */
  begin(inputEnded: boolean): void {
    // Node builds an error, stack and all, for a second end.
    if (!this.#socket.writableEnded) this.#socket.end();
    if (inputEnded) this.#socket.destroySoon();
    else this.#socket.resume();
  }

  /** What the guest still sends. */
  take(segment: Buffer): void {
    this.#bytes += segment.length;
    if (this.#bytes > LINGER_BYTES) this.#socket.destroy();
  }
}
