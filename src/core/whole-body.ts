import type { Fields } from "./fields.ts";
import type { BodyLength, BodySink, RequestBody } from "./wire.ts";

/** A request body that is held whole. It can be delivered more than once. */
export class WholeBody implements RequestBody {
  readonly bytes: Buffer;
  readonly length: BodyLength;
  /** Whoever held it has asked the guest for it. */
  readonly expectContinue = false;
  readonly #trailers: Fields | null;

  /** @param trailers where there are some, only the end of the body can tell: it goes out in chunks */
  constructor(bytes: Buffer, trailers: Fields | null = null) {
    this.bytes = bytes;
    this.#trailers = trailers;
    this.length = trailers !== null ? "stream" : bytes.length === 0 ? "none" : bytes.length;
  }

  /** The same trailers behind other bytes. */
  with(bytes: Buffer): WholeBody {
    return new WholeBody(bytes, this.#trailers);
  }

  start(sink: BodySink): void {
    if (this.bytes.length > 0) sink.bodyData(this.bytes);
    // Each delivery is cleansed of what may not go to its own destination.
    sink.bodyEnd(this.#trailers?.clone() ?? null);
    sink.bodyFlush();
  }

  resume(): void {
    // All of it was handed over.
  }
}
