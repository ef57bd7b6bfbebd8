import type { Socket } from "node:net";
import { Duplex } from "node:stream";

/**
 * A guest that closed its sending side before its socket was handed over: its last words come first, and then that end. Node
 * puts nothing back into a socket that has told its end. A stream around the socket costs such guests alone.
 */
export class EndedGuest extends Duplex {
  readonly #socket: Socket;
  #flowing: (() => void) | null = null;

  /** @param said what it had sent and nobody has read */
  constructor(said: Buffer, socket: Socket) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.push(said);
    this.push(null);
    socket.on("drain", () => this.#drained());
    socket.on("close", () => this.destroy());
  }

  override _read(): void {
    // All that there is was pushed at once.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.#socket.write(chunk)) done();
    else this.#flowing = done;
  }

  override _final(done: () => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #drained(): void {
    const done = this.#flowing;
    this.#flowing = null;
    done?.();
  }
}
