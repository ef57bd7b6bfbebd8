import type { ClientHttp2Stream } from "node:http2";
import type { Deadlined } from "../core/deadline.ts";
import type { ConnectionContext } from "./connection.ts";
import { ERROR_CODE } from "../http2/codes.ts";
import { resetStream } from "../http2/reset.ts";
import type { StreamOwner } from "./stream-owner.ts";

/** A stream whose exchange is over, until it is gone: only then is its place free. Whoever makes one adds it to the sweep. */
export class Departure implements Deadlined {
  deadlineMs: number;
  readonly #stream: ClientHttp2Stream;
  readonly #owner: StreamOwner;
  readonly #context: Pick<ConnectionContext, "clock" | "sweep" | "timeouts">;

  /** @param reset the upstream is to stop */
  constructor(
    stream: ClientHttp2Stream,
    reset: boolean,
    owner: StreamOwner,
    context: Pick<ConnectionContext, "clock" | "sweep" | "timeouts">,
  ) {
    this.#stream = stream;
    this.#owner = owner;
    this.#context = context;
    const isReset = reset && !stream.closed;
    stream.once("close", () => {
      context.sweep.delete(this);
      owner.left(isReset);
    });
    if (reset) resetStream(stream, ERROR_CODE.cancel);
    // A stream that nobody reads never ends.
    stream.resume();
    this.deadlineMs = this.#deadline();
  }

  onDeadline(): void {
    if (this.#stream.closed) {
      // Not even a reset gets through: nghttp2 has given the session up without a word, or the upstream reads nothing.
      this.#owner.kill();
      return;
    }
    // What is left of a request may be stuck for want of a window.
    resetStream(this.#stream, ERROR_CODE.cancel);
    this.deadlineMs = this.#deadline();
  }

  #deadline(): number {
    return this.#context.clock.monotonicMs() + this.#context.timeouts.bodyIdleMs;
  }
}
