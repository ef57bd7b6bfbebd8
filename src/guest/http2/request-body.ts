import type { ServerHttp2Stream } from "node:http2";
import { Denial } from "../../core/denial.ts";
import type { Fields } from "../../core/fields.ts";
import type { ExchangeRecord } from "../../core/record.ts";
import { countSegment } from "../../core/segment-memory.ts";
import type { BodyLength, BodySink, RequestBody } from "../../core/wire.ts";
import { filterTrailers } from "../../http1/trailers.ts";
import { type BlockLimits, readTrailerLines } from "../../http2/field-lines.ts";
import { Http2Error } from "../../http2/grammar.ts";
import { LINGER_BYTES } from "../linger.ts";
import type { StreamRequest } from "./request.ts";

/** What the exchange does for a body. */
export interface BodyOwner {
  bodyStarted(): void;
  /** Bytes came. */
  bodyMoved(): void;
  bodyCompleted(): void;
  /** Runs a step of an event; what it throws is the owner's to deal with. */
  guarded(step: () => void): void;
}

/**
 * The body of one HTTP/2 request. Nothing is read before somebody asks for it, so that the stream's own window is all that a
 * guest can fill (RFC 9113 §5.2); a consumer that is full pauses the stream, and with it that window alone.
 */
export class Http2RequestBody implements RequestBody {
  readonly length: BodyLength;
  readonly expectContinue: boolean;
  readonly #stream: ServerHttp2Stream;
  readonly #record: ExchangeRecord;
  readonly #owner: BodyOwner;
  readonly #trailerLimits: BlockLimits;
  #sink: BodySink | null = null;
  #trailers: Fields | null = null;
  #broken: Denial | null = null;
  #done: boolean;

  constructor(
    stream: ServerHttp2Stream,
    request: StreamRequest,
    record: ExchangeRecord,
    trailerLimits: BlockLimits,
    owner: BodyOwner,
  ) {
    this.length = request.length;
    this.expectContinue = request.expectContinue;
    this.#stream = stream;
    this.#record = record;
    this.#owner = owner;
    this.#trailerLimits = trailerLimits;
    this.#done = request.length === "none";
    if (!this.#done) stream.on("trailers", this.#onTrailers);
  }

  /** Every byte of the body was handed on. */
  get done(): boolean {
    return this.#done;
  }

  start(sink: BodySink): void {
    this.#sink = sink;
    this.#owner.bodyStarted();
    if (this.#broken !== null) {
      sink.bodyBroken(this.#broken);
      return;
    }
    this.#stream.on("data", this.#onData);
    this.#stream.on("end", this.#onEnd);
  }

  resume(): void {
    this.#stream.resume();
  }

  /** The guest went away or broke off in the middle. */
  break(denial: Denial): void {
    if (this.#done || this.#broken !== null) return;
    this.#broken = denial;
    this.#sink?.bodyBroken(denial);
  }

  /** Nobody wants the rest: it is read and thrown away. @param onTooMuch the guest goes on all the same */
  discard(onTooMuch: () => void): void {
    this.#sink = null;
    this.#stream.off("data", this.#onData);
    let bytes = 0;
    this.#stream.on("data", (chunk: Buffer) => {
      countSegment(chunk.length);
      bytes += chunk.length;
      if (bytes > LINGER_BYTES) onTooMuch();
    });
    this.#stream.resume();
  }

  readonly #onData = (chunk: Buffer): void =>
    this.#owner.guarded(() => {
      const sink = this.#sink;
      if (sink === null || this.#broken !== null) return;
      countSegment(chunk.length);
      this.#record.bytesFromGuest += chunk.length;
      this.#owner.bodyMoved();
      sink.bodyData(chunk);
      if (!sink.bodyFlush()) this.#stream.pause();
    });

  readonly #onTrailers = (_fields: unknown, _flags: number, raw: string[]): void => this.takeTrailers(raw);

  /** @param raw names and values in turn, as `node:http2` has them */
  takeTrailers(raw: string[]): void {
    this.#owner.guarded(() => {
      try {
        this.#trailers = readTrailerLines(raw, this.#trailerLimits);
        filterTrailers(this.#trailers);
      } catch (thrown) {
        if (!(thrown instanceof Http2Error)) throw thrown;
        this.break(new Denial("request_malformed", { cause: thrown }));
      }
    });
  }

  readonly #onEnd = (): void =>
    this.#owner.guarded(() => {
      const sink = this.#sink;
      // A reset ends the stream as well, with NO_ERROR even by the same event: such a body must never look whole.
      if (this.#stream.aborted) this.break(new Denial("request_malformed", { cause: "the guest reset the stream" }));
      // Of a HEAD Node tells neither; `close` follows, by which the exchange knows that its guest is gone.
      if (sink === null || this.#broken !== null || this.#stream.closed) return;
      this.#done = true;
      sink.bodyEnd(this.#trailers);
      sink.bodyFlush();
      this.#owner.bodyCompleted();
    });
}
