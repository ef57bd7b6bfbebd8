import type { ClientHttp2Stream } from "node:http2";
import { Denial } from "../core/denial.ts";
import type { Fields } from "../core/fields.ts";
import type { BodySink, OutboundRequest } from "../core/wire.ts";
import { trailerRecord } from "./http2-head.ts";

export interface UploadEvents {
  /** Something of the body was given, or taken. */
  moved(): void;
  /** The guest has given all of it. */
  ended(): void;
  failed(denial: Denial): void;
}

/** The body of one request on its way into a stream: back-pressure both ways, and trailers once all of it has left. */
export class Http2Upload implements BodySink {
  readonly #stream: ClientHttp2Stream;
  readonly #request: OutboundRequest;
  readonly #events: UploadEvents;
  #trailers: Fields | null = null;
  #isCorked = false;
  #isOver = false;
  #isAsked: boolean;
  /** Bytes that the head promised and that are still to come. */
  #left: number;

  constructor(stream: ClientHttp2Stream, request: OutboundRequest, events: UploadEvents) {
    this.#stream = stream;
    this.#request = request;
    this.#events = events;
    const { length, expectContinue } = request.body;
    this.#isAsked = !expectContinue;
    this.#left = typeof length === "number" ? length : Number.POSITIVE_INFINITY;
    stream.on("drain", () => {
      if (this.#isOver) return;
      events.moved();
      request.body.resume();
    });
    stream.on("wantTrailers", () => this.#sendTrailers());
  }

  start(): void {
    this.#request.body.start(this);
  }

  /** The exchange is over: what else the guest gives goes nowhere. */
  stop(): void {
    this.#isOver = true;
  }

  /** The upstream gave leave to send (RFC 9110 §10.1.1): from here on it is the guest who is late. */
  continued(): void {
    this.#isAsked = true;
    this.#events.moved();
  }

  /** The upstream took all that there was, and wants the rest. */
  get awaitsGuest(): boolean {
    return !this.#stream.writableNeedDrain && this.#isAsked;
  }

  bodyData(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#left -= chunk.length;
    if (this.#left < 0) {
      this.#misframed();
      return;
    }
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#stream.cork();
    }
    this.#stream.write(chunk);
  }

  bodyEnd(trailers: Fields | null): void {
    if (this.#isOver) return;
    if (this.#left > 0 && Number.isFinite(this.#left)) {
      this.#misframed();
      return;
    }
    if (trailers !== null) {
      try {
        this.#request.cleanseTrailers(trailers);
      } catch (thrown) {
        this.#events.failed(Denial.from(thrown));
        return;
      }
    }
    this.#trailers = trailers;
    this.#events.ended();
    this.#stream.end();
  }

  /** Whoever replaced the body: what ends early or late must not look whole (RFC 9113 §8.1.1). */
  #misframed(): void {
    this.#events.failed(new Denial("internal", { cause: "the body has another length than its head says" }));
  }

  bodyFlush(): boolean {
    if (this.#isOver) return true;
    if (this.#isCorked) {
      this.#isCorked = false;
      this.#stream.uncork();
    }
    this.#events.moved();
    return !this.#stream.writableNeedDrain;
  }

  /** Nothing else ends the stream without a reset; where there are none, that as well is said here. */
  #sendTrailers(): void {
    if (this.#isOver) return;
    try {
      this.#stream.sendTrailers(trailerRecord(this.#trailers));
    } catch (thrown) {
      this.#events.failed(Denial.from(thrown));
    }
  }

  bodyBroken(denial: Denial): void {
    if (!this.#isOver) this.#events.failed(denial);
  }
}
