import type { Socket } from "node:net";
import type { Clock } from "../core/clock.ts";
import type { Deadlined, DeadlineSweep } from "../core/deadline.ts";
import { Denial } from "../core/denial.ts";
import { readDirectly } from "../core/direct-reads.ts";
import type { OutboundHead } from "../core/exchange.ts";
import type { Fields } from "../core/fields.ts";
import type { Seat } from "../core/roster.ts";
import type { AnswerSink, BodySink, OutboundRequest, UpstreamChannel } from "../core/wire.ts";
import { Batch } from "../http1/batch.ts";
import { Http1Error } from "../http1/grammar.ts";
import { CHUNK_END, chunkStart, chunkedEnd, requestHeadText } from "../http1/writer.ts";
import { AnswerReader, type AnswerLimits } from "./answer-reader.ts";
import { readOutFirst } from "./read-out.ts";
import { UPSTREAM_STATES, type UpstreamState, type UpstreamTimeouts } from "./states.ts";
import { certificateRefused } from "./tls-alerts.ts";
import { watchEnd } from "./tls-end.ts";

export interface ConnectionContext {
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
  readonly timeouts: UpstreamTimeouts;
  readonly limits: AnswerLimits;
  /** The connection can be used again. */
  onIdle(connection: UpstreamConnection): void;
  /** The connection is gone. */
  onClosed(connection: UpstreamConnection): void;
}

/**
 * One HTTP/1.1 connection to an upstream, for one exchange at a time. Whatever does not fit the state poisons it: it is
 * destroyed and never reused.
 */
export class UpstreamConnection implements UpstreamChannel, BodySink, Deadlined {
  readonly tellsUntouched = false;
  /** Key of the session that holds it; the pool's. */
  holder: string | null = null;
  readonly address: string;
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly #socket: Socket;
  readonly #context: ConnectionContext;
  readonly #batch = new Batch();
  readonly #reader: AnswerReader;
  readonly #stopReading: () => void;
  readonly #seat: Seat;
  #state: UpstreamState = "idle";
  #sink: AnswerSink | null = null;
  #request: OutboundRequest | null = null;
  #requestComplete = true;
  /** Of a body whose length was said: what is to come. */
  #bodyLeft = 0;
  #exchanges = 0;
  #keepaliveMs: number;
  /** Set for an answer that lasts until the connection ends: whether that end was the upstream's. */
  #isEndTrue: (() => boolean) | null = null;

  constructor(socket: Socket, address: string, context: ConnectionContext) {
    this.#socket = socket;
    this.address = address;
    this.#context = context;
    this.#keepaliveMs = context.timeouts.upstreamKeepaliveMs;
    this.#reader = new AnswerReader(context.limits);
    readOutFirst(socket);
    this.#stopReading = readDirectly(socket, this.#onData);
    // Paused since a parent answered CONNECT on it.
    socket.resume();
    // It keeps no process alive: a drained edge waits for guests, and not for upstreams to hang up.
    socket.unref();
    socket.on("drain", this.#onDrain);
    socket.on("end", this.#onEnd);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
    this.#seat = context.sweep.add(this);
    this.#enter("idle");
  }

  get reused(): boolean {
    return this.#exchanges > 1;
  }

  /** Still good for a request. */
  get isUsable(): boolean {
    return this.#state === "idle" && !this.#socket.destroyed && this.#socket.writable && !this.#socket.readableEnded;
  }

  send(head: OutboundHead, request: OutboundRequest, sink: AnswerSink): boolean {
    if (!this.isUsable) return false;
    this.#exchanges++;
    this.#sink = sink;
    this.#request = request;
    const { length } = request.body;
    this.#requestComplete = length === "none";
    this.#bodyLeft = typeof length === "number" ? length : 0;
    this.#reader.begin(head.method, request.upgrade !== null);
    this.#batch.text(requestHeadText(head.method, head.target, head.fields, hopFields(request)));
    if (this.#requestComplete) {
      this.#enter("awaiting_answer");
      this.#batch.writeTo(this.#socket);
      return true;
    }
    this.#enter("requesting");
    request.body.start(this);
    // Whatever arrived with the head has gone into the batch; a body still to come must not hold the head back.
    if (!this.#batch.isEmpty) this.bodyFlush();
    return true;
  }

  bodyData(chunk: Buffer): void {
    // As a chunk, nothing would be the end (RFC 9112 §7.1).
    if (this.#request === null || chunk.length === 0) return;
    if (this.#request.body.length === "stream") {
      this.#batch.text(chunkStart(chunk.length));
      this.#batch.bytes(chunk);
      this.#batch.text(CHUNK_END);
      return;
    }
    this.#bodyLeft -= chunk.length;
    if (this.#bodyLeft < 0) this.#misframed();
    else this.#batch.bytes(chunk);
  }

  /** Whoever replaced the body: with a byte more or less than was said, what follows would be read from another place. */
  #misframed(): void {
    this.#fail(new Denial("internal", { cause: "the body has another length than its head says" }));
  }

  bodyEnd(trailers: Fields | null): void {
    if (this.#request === null) return;
    if (this.#bodyLeft !== 0) {
      this.#misframed();
      return;
    }
    if (trailers !== null) {
      try {
        this.#request.cleanseTrailers(trailers);
      } catch (thrown) {
        this.#fail(Denial.from(thrown));
        return;
      }
    }
    if (this.#request.body.length === "stream") this.#batch.text(chunkedEnd(trailers));
    this.#requestComplete = true;
    if (this.#state === "requesting") this.#enter("awaiting_answer");
  }

  bodyFlush(): boolean {
    if (this.#request === null || this.#state === "closed") {
      this.#batch.clear();
      return true;
    }
    // While it answers as well (full duplex): an upstream may listen for long before it goes on with its answer.
    if (this.#state === "requesting" || this.#state === "answering") this.#renewDeadline();
    return this.#batch.writeTo(this.#socket);
  }

  bodyBroken(denial: Denial): void {
    if (this.#request !== null) this.#fail(denial);
  }

  resume(): void {
    this.#socket.resume();
  }

  abort(): void {
    this.#sink = null;
    this.#close();
  }

  release(): void {
    if (this.#request === null && this.isUsable) this.#context.onIdle(this);
    else this.abort();
  }

  onDeadline(): void {
    const state = this.#state;
    if (state === "idle") this.#close();
    // It is not read, since the guest has not taken what there is: it is the guest's time that runs.
    else if (this.#socket.isPaused()) this.#renewDeadline();
    else if (state === "requesting" && this.#awaitsGuest) {
      this.#fail(new Denial("request_timeout", { cause: "the request body stopped coming" }));
    } else this.#fail(new Denial("upstream_timeout", { cause: `nothing came while ${state}` }));
  }

  /** The upstream took all that there was of the request, and wants the rest. */
  get #awaitsGuest(): boolean {
    const isAsked = this.#reader.hasContinued || this.#request?.body.expectContinue === false;
    return isAsked && !this.#socket.writableNeedDrain;
  }

  readonly #onData = (segment: Buffer): void => {
    const sink = this.#sink;
    // Bytes beyond an answer, or without a request: the next answer could not be trusted (response splitting).
    if (sink === null) this.#close();
    else this.#guarded(() => this.#take(segment, sink));
  };

  /** What throws ends this exchange; as long as the sink was not told the end, it is told of the failure. */
  #guarded(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      this.#fail(
        thrown instanceof Http1Error ? new Denial("upstream_protocol", { cause: thrown }) : Denial.from(thrown),
      );
    }
  }

  #take(segment: Buffer, sink: AnswerSink): void {
    if (this.#state === "answering" || this.#state === "requesting") this.#renewDeadline();
    this.#reader.push(segment, sink);
    // The sink may have ended the exchange while it read.
    if (this.#sink !== sink) return;
    if (this.#reader.upgraded !== null) this.#handOver(sink);
    else if (this.#reader.done) this.#finish(sink);
    else {
      if (this.#reader.hasHead && this.#state !== "answering") {
        this.#enter("answering");
        if (this.#reader.endsAtClose) this.#isEndTrue = watchEnd(this.#socket);
      }
      if (!sink.flush()) this.#socket.pause();
    }
  }

  /** The answer is complete: reuse the connection, or end it when anything about it is in doubt. In between it takes no request. */
  #finish(sink: AnswerSink): void {
    sink.end(this.#reader.trailers);
    this.#sink = null;
    this.#request = null;
    this.#keepaliveMs = Math.min(this.#context.timeouts.upstreamKeepaliveMs, this.#reader.keepAliveHintMs);
    if (!this.#isTrusted) this.#close();
    else if (this.#isWritten) this.#rest();
    // Over TLS Node tells in the next turn that something was written, and an upstream may be quicker.
    else setImmediate(() => (this.#isTrusted && this.#isWritten ? this.#rest() : this.#close()));
  }

  #rest(): void {
    // Bytes that came meanwhile have poisoned it.
    if (this.#state === "closed") return;
    this.#enter("idle");
    // A paused socket in the pool would hang its next exchange.
    this.#socket.resume();
    this.#context.onIdle(this);
  }

  /** The next request could follow this answer. */
  get #isTrusted(): boolean {
    return this.#reader.reusable && this.#requestComplete && this.#socket.writable && this.#keepaliveMs > 0;
  }

  /** An upstream that answered before all of the request had left may take the rest for the next one. */
  get #isWritten(): boolean {
    return this.#socket.writableLength === 0;
  }

  /** 101: from here on the socket belongs to the joined streams. */
  #handOver(sink: AnswerSink): void {
    const { head, rest } = this.#reader.upgraded as NonNullable<AnswerReader["upgraded"]>;
    const socket = this.#socket;
    this.#enter("upgraded");
    // What it has not taken yet may be all that is left of the exchange.
    socket.ref();
    socket.pause();
    this.#stopReading();
    socket.off("drain", this.#onDrain);
    socket.off("end", this.#onEnd);
    if (rest.length > 0) socket.unshift(rest);
    sink.upgraded(head, socket);
    this.#sink = null;
    this.#request = null;
  }

  readonly #onDrain = (): void => {
    this.#request?.body.resume();
  };

  readonly #onEnd = (): void => {
    const sink = this.#sink;
    // Not after a write has failed: then a reset came before this end.
    if (sink !== null && this.#socket.writable && this.#isEndTrue?.() === true) {
      this.#guarded(() => this.#finish(sink));
      return;
    }
    const cause =
      this.#isEndTrue?.() === false
        ? "the connection was cut without a TLS close_notify: the answer may be truncated"
        : "the upstream closed before the answer was complete";
    this.#fail(new Denial("upstream_unreachable", { cause }));
  };

  readonly #onError = (error: Error): void => {
    this.#fail(certificateRefused(error) ?? new Denial("upstream_unreachable", { cause: error }));
  };

  readonly #onClose = (): void => {
    if (this.#state !== "closed") this.#fail(new Denial("upstream_unreachable", { cause: "the connection closed" }));
  };

  #fail(denial: Denial): void {
    const sink = this.#sink;
    const isStale = this.reused && !this.#reader.hasBytes && denial.code === "upstream_unreachable";
    this.#sink = null;
    this.#close();
    sink?.failed(denial, isStale ? "stale" : "perhaps_done", null);
  }

  #close(): void {
    if (this.#state === "closed") return;
    this.#enter("closed");
    this.#request = null;
    this.#batch.clear();
    this.#context.sweep.delete(this.#seat);
    this.#socket.destroy();
    this.#context.onClosed(this);
  }

  #enter(next: UpstreamState): void {
    if (!UPSTREAM_STATES[this.#state].next.includes(next) && next !== this.#state) {
      throw new Error(`upstream connection: ${this.#state} -> ${next} is not in the table`);
    }
    this.#state = next;
    this.#renewDeadline();
  }

  #renewDeadline(): void {
    const timeout = UPSTREAM_STATES[this.#state].timeout;
    if (timeout === null) this.deadlineMs = Number.POSITIVE_INFINITY;
    else {
      const ms = this.#state === "idle" ? this.#keepaliveMs : this.#context.timeouts[timeout];
      this.deadlineMs = this.#context.clock.monotonicMs() + ms;
    }
  }
}

/** What this hop says for itself (RFC 9110 §7.6.1): framing, upgrade, willingness to take trailers. */
function hopFields(request: OutboundRequest): string {
  let lines = "";
  if (request.body.length === "stream") lines += "Transfer-Encoding: chunked\r\n";
  if (request.upgrade !== null) lines += `Connection: Upgrade\r\nUpgrade: ${request.upgrade}\r\n`;
  else if (request.wantsTrailers) lines += "Connection: TE\r\nTE: trailers\r\n";
  return lines;
}
