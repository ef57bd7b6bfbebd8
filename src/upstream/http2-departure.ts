import type { ClientHttp2Stream } from "node:http2";
import type { Deadlined } from "../core/deadline.ts";
import type { ConnectionContext } from "./connection.ts";
import { ERROR_CODE } from "../http2/codes.ts";
import { resetStream } from "../http2/reset.ts";
import type { StreamOwner } from "./stream-owner.ts";

/**
 * Waits until a stream whose exchange is over is gone: only then is its place free.
 * @param reset the upstream is to stop
 */
export function awaitDeparture(
  stream: ClientHttp2Stream,
  reset: boolean,
  owner: StreamOwner,
  context: Pick<ConnectionContext, "clock" | "sweep" | "timeouts">,
): void {
  const departure = new Departure(stream, owner, context);
  const seat = context.sweep.add(departure);
  const isReset = reset && !stream.closed;
  stream.once("close", () => {
    context.sweep.delete(seat);
    owner.left(isReset);
  });
  if (reset) resetStream(stream, ERROR_CODE.cancel);
  // A stream that nobody reads never ends.
  stream.resume();
}

class Departure implements Deadlined {
  deadlineMs: number;
  readonly #stream: ClientHttp2Stream;
  readonly #owner: StreamOwner;
  readonly #context: Pick<ConnectionContext, "clock" | "sweep" | "timeouts">;

  constructor(
    stream: ClientHttp2Stream,
    owner: StreamOwner,
    context: Pick<ConnectionContext, "clock" | "sweep" | "timeouts">,
  ) {
    this.#stream = stream;
    this.#owner = owner;
    this.#context = context;
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
