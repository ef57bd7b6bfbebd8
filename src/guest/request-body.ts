import type { Socket } from "node:net";
import { Denial } from "../core/denial.ts";
import type { ExchangeRecord } from "../core/record.ts";
import type { BodyLength, BodySink, RequestBody } from "../core/wire.ts";
import { type BodyConsumer, type BodyDecoder, type BodyLimits, bodyDecoder } from "../http1/body.ts";
import type { Framing } from "../http1/framing.ts";
import { filterTrailers } from "../http1/trailers.ts";

/** What the connection does for a body. */
export interface BodyOwner {
  /** Paused while the consumer is full, or nobody has asked for the body yet. */
  readonly socket: Pick<Socket, "pause" | "resume">;
  bodyStarted(): void;
  /** @param rest bytes of the next message that came with the last segment */
  bodyCompleted(rest: Buffer): void;
  /** What was held turned out not to be all of it, and the guest sends no more. */
  bodyCutShort(): void;
}

const NOTHING = Buffer.alloc(0);

/** A length of 0 is no content, whose request may be sent again like any other without; the field goes on as it came. */
function lengthOf(framing: Framing): BodyLength {
  if (framing.kind === "length") return framing.length === 0 ? "none" : framing.length;
  return framing.kind === "chunked" ? "stream" : "none";
}

/** The body of one HTTP/1.1 request: decoded as it arrives, held back until somebody asks for it. */
export class Http1RequestBody implements RequestBody, BodyConsumer {
  readonly length: BodyLength;
  readonly expectContinue: boolean;
  readonly #owner: BodyOwner;
  readonly #decoder: BodyDecoder;
  readonly #record: ExchangeRecord;
  #sink: BodySink | null = null;
  #held: Buffer | null = null;
  #broken: Denial | null = null;
  #inputEnded = false;

  constructor(framing: Framing, limits: BodyLimits, expectContinue: boolean, record: ExchangeRecord, owner: BodyOwner) {
    this.#record = record;
    this.length = lengthOf(framing);
    this.expectContinue = expectContinue;
    this.#decoder = bodyDecoder(framing, limits);
    this.#owner = owner;
  }

  /** Every byte of the body has been decoded. */
  get done(): boolean {
    return this.#decoder.done;
  }

  /** Takes bytes that arrived; only while the body is not done. */
  feed(segment: Buffer): void {
    // Its framing is lost: nothing after the break means anything.
    if (this.#broken !== null) return;
    if (this.#sink !== null) {
      this.#decode(segment, this.#sink);
      return;
    }
    this.#held = this.#held === null ? segment : Buffer.concat([this.#held, segment]);
    this.#owner.socket.pause();
  }

  /** The guest sends no more. @returns whether the body is complete, or may be: held chunks are looked at once it starts */
  inputEnded(): boolean {
    this.#inputEnded = true;
    if (this.#decoder.done) return true;
    if (this.#sink !== null || this.#held === null) return false;
    return typeof this.length !== "number" || this.#held.length >= this.length;
  }

  start(sink: BodySink): void {
    this.#sink = sink;
    this.#owner.bodyStarted();
    if (this.#broken !== null) {
      sink.bodyBroken(this.#broken);
      return;
    }
    const held = this.#held;
    this.#held = null;
    this.#owner.socket.resume();
    if (held !== null) this.#decode(held, sink);
    if (this.#inputEnded && !this.#decoder.done) this.#owner.bodyCutShort();
  }

  resume(): void {
    this.#owner.socket.resume();
  }

  /** The guest went away or broke off in the middle. */
  break(denial: Denial): void {
    if (this.#decoder.done || this.#broken !== null) return;
    this.#broken = denial;
    this.#sink?.bodyBroken(denial);
  }

  bodyData(chunk: Buffer): void {
    this.#record.bytesFromGuest += chunk.length;
    this.#sink?.bodyData(chunk);
  }

  #decode(segment: Buffer, sink: BodySink): void {
    let taken: number;
    try {
      taken = this.#decoder.push(segment, this);
    } catch (thrown) {
      this.break(new Denial("request_malformed", { cause: thrown }));
      return;
    }
    if (!this.#decoder.done) {
      if (!sink.bodyFlush()) this.#owner.socket.pause();
      return;
    }
    const { trailers } = this.#decoder;
    if (trailers !== null) filterTrailers(trailers);
    sink.bodyEnd(trailers);
    sink.bodyFlush();
    this.#owner.bodyCompleted(taken === segment.length ? NOTHING : segment.subarray(taken));
  }
}
