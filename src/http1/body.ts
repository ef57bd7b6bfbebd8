import type { Fields } from "../core/fields.ts";
import { ChunkedDecoder } from "./chunked.ts";
import type { Framing } from "./framing.ts";

/** Takes decoded body bytes. The slices belong to the segment that arrived; nothing is copied. */
export interface BodyConsumer {
  bodyData(chunk: Buffer): void;
}

/** Bounds of a body's own framing. */
export interface BodyLimits {
  readonly trailerBytes: number;
  readonly trailerFields: number;
}

/**
 * Takes a body apart by its framing, segment by segment. State without sockets: `push` says how many bytes of the segment
 * belong to this body; what follows is the next message.
 */
export interface BodyDecoder {
  /** The whole body has been seen. */
  readonly done: boolean;
  /** Trailer section of a finished chunked body, or `null`. */
  readonly trailers: Fields | null;
  /**
   * @param segment bytes that arrived; decoded slices go to `consumer`
   * @returns how many bytes were taken
   * @throws Http1Error when chunked framing breaks its rule
   */
  push(segment: Buffer, consumer: BodyConsumer): number;
  /** Whether a connection that ends now ends this body properly (RFC 9112 §8: anything else is incomplete). */
  endsAtClose(): boolean;
}

export function bodyDecoder(framing: Framing, limits: BodyLimits): BodyDecoder {
  switch (framing.kind) {
    case "none":
      return NO_BODY;
    case "length":
      return framing.length === 0 ? NO_BODY : new LengthDecoder(framing.length);
    case "chunked":
      return new ChunkedDecoder(limits);
    case "close":
      return new CloseDecoder();
  }
}

const NO_BODY: BodyDecoder = {
  done: true,
  trailers: null,
  push: () => 0,
  endsAtClose: () => true,
};

class LengthDecoder implements BodyDecoder {
  readonly trailers = null;
  #left: number;

  constructor(length: number) {
    this.#left = length;
  }

  get done(): boolean {
    return this.#left === 0;
  }

  push(segment: Buffer, consumer: BodyConsumer): number {
    const taken = Math.min(this.#left, segment.length);
    if (taken === 0) return 0;
    this.#left -= taken;
    consumer.bodyData(taken === segment.length ? segment : segment.subarray(0, taken));
    return taken;
  }

  endsAtClose(): boolean {
    return this.done;
  }
}

class CloseDecoder implements BodyDecoder {
  readonly trailers = null;
  readonly done = false;

  push(segment: Buffer, consumer: BodyConsumer): number {
    if (segment.length > 0) consumer.bodyData(segment);
    return segment.length;
  }

  endsAtClose(): boolean {
    return true;
  }
}
