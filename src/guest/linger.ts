import type { Socket } from "node:net";
import { endAtOnce } from "./break-off.ts";
import { Reading } from "./reading.ts";

/**
 * Bytes that are thrown away from a guest that was answered and still sends; the state's timeout bounds it as well. Megabytes
 * are on the way in socket buffers alone, and many clients read nothing before they have sent everything: a reset would take
 * the answer from them.
 */
export const LINGER_BYTES = 67_108_864;

/**
 * Answered and closing (RFC 9112 §9.6): FIN is sent once the answer is, and what still comes is read for a little longer, so that no
 * reset overtakes it.
 */
export class Linger {
  readonly #socket: Socket;
  readonly #transport: Socket;
  #reading: Reading | null = null;
  #bytes = 0;

  /** @param transport the TCP or unix socket below `socket`, or `socket` itself */
  constructor(socket: Socket, transport: Socket) {
    this.#socket = socket;
    this.#transport = transport;
  }

  /** @param inputEnded the guest sends no more: there is nothing to wait for */
  begin(inputEnded: boolean): void {
    this.#reading = new Reading(this.#socket);
    // Node builds an error, stack and all, for a second end.
    if (!this.#socket.writableEnded) this.#socket.end();
    if (inputEnded) this.#socket.destroySoon();
    else this.#socket.resume();
  }

  /** What the guest still sends. */
  take(segment: Buffer): void {
    this.#bytes += segment.length;
    if (this.#bytes > LINGER_BYTES) this.end();
  }

  /** @returns whether the guest has read anything since it was last asked, or since the begin */
  isRead(): boolean {
    return this.#reading?.hasGoneOn() === true;
  }

  /** Enough of it. */
  end(): void {
    endAtOnce(this.#socket, this.#transport);
  }
}
