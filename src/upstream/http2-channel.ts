import type { ClientHttp2Stream } from "node:http2";
import type { Deadlined } from "../core/deadline.ts";
import { Denial } from "../core/denial.ts";
import type { OutboundHead } from "../core/exchange.ts";
import type { Seat } from "../core/roster.ts";
import { countSegment } from "../core/segment-memory.ts";
import type { AnswerHead, AnswerSink, OutboundRequest, Standing, UpstreamChannel } from "../core/wire.ts";
import { Http1Error } from "../http1/grammar.ts";
import type { ConnectionContext } from "./connection.ts";
import { isLast } from "../http2/codes.ts";
import { Http2Answer } from "./http2-answer.ts";
import { awaitDeparture } from "./http2-departure.ts";
import { requestFields } from "./http2-head.ts";
import { type StreamEnd, streamEnd } from "./http2-stream-end.ts";
import { Http2Tunnel, switchingHead, websocketKey } from "./http2-tunnel.ts";
import { Http2Upload, type UploadEvents } from "./http2-upload.ts";
import type { StreamOwner } from "./stream-owner.ts";
import { STREAM_STATES, type StreamState } from "./stream-states.ts";

/** One HTTP/2 stream of a session: one exchange. What does not fit the state resets the stream, and no other. */
export class Http2Channel implements UpstreamChannel, UploadEvents, Deadlined {
  readonly address: string;
  readonly reused: boolean;
  readonly tellsUntouched = true;
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly #owner: StreamOwner;
  readonly #context: Pick<ConnectionContext, "clock" | "sweep" | "timeouts" | "limits">;
  #state: StreamState = "held";
  #stream: ClientHttp2Stream | null = null;
  #end: StreamEnd | null = null;
  #sink: AnswerSink | null = null;
  #upload: Http2Upload | null = null;
  #answer: Http2Answer | null = null;
  #websocketKey: string | null = null;
  #flushing: NodeJS.Immediate | null = null;
  #error: Error | null = null;
  #seat: Seat | null = null;

  constructor(
    owner: StreamOwner,
    reused: boolean,
    context: Pick<ConnectionContext, "clock" | "sweep" | "timeouts" | "limits">,
  ) {
    this.#owner = owner;
    this.address = owner.address;
    this.reused = reused;
    this.#context = context;
  }

  send(head: OutboundHead, request: OutboundRequest, sink: AnswerSink): boolean {
    if (this.#state !== "held" || !this.#owner.isUsable) return false;
    if (request.upgrade !== null) this.#mustUpgrade(head);
    const { length } = request.body;
    const endStream = length === "none" && request.upgrade === null;
    const fields = requestFields(head, request, this.#owner.scheme);
    const stream = this.#owner.open(fields, { endStream, waitForTrailers: length === "stream" });
    this.#sink = sink;
    this.#stream = stream;
    if (length !== "none") this.#upload = new Http2Upload(stream, request, this);
    this.#listen(stream, request.upgrade === null ? head.method : "CONNECT");
    this.#seat = this.#context.sweep.add(this);
    this.#enter(length === "none" ? "awaiting_answer" : "requesting");
    this.#upload?.start();
    return true;
  }

  /** @throws Denial */
  #mustUpgrade(head: OutboundHead): void {
    if (!this.#owner.takesConnect) {
      const cause = "the upstream speaks HTTP/2 and takes no extended CONNECT (RFC 8441)";
      throw new Denial("upgrade_unsupported", { cause });
    }
    // What is decided on is what is sent: an extended CONNECT stands for a GET (RFC 8441 §5, RFC 6455 §4.1), and for nothing else.
    if (head.method !== "GET") throw new Denial("request_malformed", { cause: "a WebSocket handshake is a GET" });
    this.#websocketKey = websocketKey(head);
    if (this.#websocketKey === null)
      throw new Denial("request_malformed", { cause: "a WebSocket handshake has one Sec-WebSocket-Key" });
  }

  #listen(stream: ClientHttp2Stream, method: string): void {
    const answer = new Http2Answer(method, this.#context.limits);
    this.#answer = answer;
    const end = streamEnd(stream);
    this.#end = end;
    stream.on("headers", (_headers, flags, raw) =>
      this.#told((sink) => this.#onInterim(answer.interim(raw, flags), sink)),
    );
    stream.on("response", (_headers, flags, raw) =>
      this.#told((sink) => this.#onHead(stream, answer.head(raw, flags), isLast(flags), sink)),
    );
    stream.on("trailers", (_headers, _flags, raw) => this.#told(() => answer.trailer(raw)));
    stream.on("error", (error) => {
      this.#error = error;
    });
    stream.on("close", () => this.#onClose());
  }

  // --- the request ---------------------------------------------------------------------------------------------------

  moved(): void {
    // While it answers as well (full duplex): an upstream may listen for long before it goes on with its answer.
    if (this.#state !== "requesting" && this.#state !== "answering") return;
    this.#renewDeadline();
    this.#owner.wrote(this.#context.clock.monotonicMs());
  }

  ended(): void {
    if (this.#state === "requesting") this.#enter("awaiting_answer");
  }

  failed(denial: Denial): void {
    this.#fail(denial);
  }

  // --- the answer ----------------------------------------------------------------------------------------------------

  resume(): void {
    this.#stream?.resume();
  }

  #onInterim(head: AnswerHead, sink: AnswerSink): void {
    if (head.status === 100) this.#upload?.continued();
    sink.interim(head);
  }

  #onHead(stream: ClientHttp2Stream, head: AnswerHead, isWhole: boolean, sink: AnswerSink): void {
    if (this.#websocketKey !== null) {
      if (head.status < 300 && !isWhole) {
        this.#upgrade(stream, switchingHead(head, this.#websocketKey), sink);
        return;
      }
      // Refused: there will be nothing to say.
      stream.end();
    }
    this.#enter("answering");
    sink.head(head);
    // The sink may have ended the exchange.
    if (this.#sink !== sink) return;
    if (isWhole) {
      this.#finish(sink);
      return;
    }
    stream.on("data", (chunk: Buffer) => this.#told((taker) => this.#onData(chunk, taker)));
    stream.on("end", () => this.#told((taker) => this.#onEnd(taker)));
    this.#scheduleFlush();
  }

  #onData(chunk: Buffer, sink: AnswerSink): void {
    countSegment(chunk.length);
    this.#answer?.data(chunk.length);
    this.#renewDeadline();
    sink.data(chunk);
    this.#scheduleFlush();
  }

  #onEnd(sink: AnswerSink): void {
    // An end that a reset made is none: `close` follows.
    if (this.#end?.isTrue !== true) return;
    this.#answer?.end();
    this.#finish(sink);
  }

  /** Granted: from here on the stream belongs to the joined streams. */
  #upgrade(stream: ClientHttp2Stream, head: AnswerHead, sink: AnswerSink): void {
    this.#enter("upgraded");
    const tunnel = new Http2Tunnel(stream, this.#end as StreamEnd);
    // It has said its own end or reset by then.
    tunnel.once("close", () => this.#close(false));
    // It may throw, and is told of that as of any other failure.
    sink.upgraded(head, tunnel);
    this.#sink = null;
  }

  /** Once a turn: what one segment brought leaves in one write. */
  #scheduleFlush(): void {
    this.#flushing ??= setImmediate(() => {
      this.#flushing = null;
      if (this.#sink?.flush() === false) this.#stream?.pause();
    });
  }

  // --- the ends ------------------------------------------------------------------------------------------------------

  abort(): void {
    this.#sink = null;
    this.#close(true);
  }

  release(): void {
    if (this.#state === "held") this.#close(false);
    else this.abort();
  }

  onDeadline(): void {
    const state = this.#state;
    // It is not read, since the guest has not taken what there is: it is the guest's time that runs.
    if (this.#stream?.isPaused() === true) {
      this.#renewDeadline();
      return;
    }
    if (state === "requesting" && this.#upload?.awaitsGuest === true) {
      this.#fail(new Denial("request_timeout", { cause: "the request body stopped coming" }));
      return;
    }
    this.#owner.suspect();
    this.#fail(new Denial("upstream_timeout", { cause: `nothing came while ${state}` }));
  }

  /** The answer is complete. An upstream that answered ahead of the request's end wants no more of it (RFC 9113 §8.1). */
  #finish(sink: AnswerSink): void {
    const trailers = this.#answer?.trailers ?? null;
    this.#sink = null;
    // Sent is not what was handed over: of a window that never opens, a part would stay for ever.
    this.#close(this.#stream?.writableFinished === false);
    sink.end(trailers);
  }

  #onClose(): void {
    // An upgraded stream closes its tunnel, and that its state.
    if (this.#state === "closed" || this.#state === "upgraded") return;
    const owner = this.#owner;
    const lost = this.#end?.loss(this.#error, owner) ?? { denial: new Denial("internal"), refused: false, code: null };
    const wasReused = this.reused && owner.isLost && lost.denial.code === "upstream_unreachable";
    // Once anything of an answer came, a second one would be written behind it, whatever the upstream says it did not do.
    let standing: Standing = "perhaps_done";
    if (this.#answer?.hasBytes === false) {
      if (lost.refused) standing = "untouched";
      else if (wasReused) standing = "stale";
    }
    this.#fail(lost.denial, standing, lost.code);
  }

  /** Takes a step for whoever still listens. What throws ends this exchange, and no other. */
  #told(step: (sink: AnswerSink) => void): void {
    const sink = this.#sink;
    if (sink === null) return;
    this.#owner.heard(this.#context.clock.monotonicMs());
    try {
      step(sink);
    } catch (thrown) {
      this.#fail(
        thrown instanceof Http1Error ? new Denial("upstream_protocol", { cause: thrown }) : Denial.from(thrown),
      );
    }
  }

  #fail(denial: Denial, standing: Standing = "perhaps_done", code: number | null = null): void {
    const sink = this.#sink;
    this.#sink = null;
    this.#close(true);
    sink?.failed(denial, standing, code);
  }

  /** @param reset the upstream is to stop */
  #close(reset: boolean): void {
    if (this.#state === "closed") return;
    this.#enter("closed");
    this.#upload?.stop();
    if (this.#flushing !== null) clearImmediate(this.#flushing);
    if (this.#seat !== null) this.#context.sweep.delete(this.#seat);
    const stream = this.#stream;
    if (stream === null || stream.destroyed) this.#owner.left(false);
    else awaitDeparture(stream, reset, this.#owner, this.#context);
  }

  #enter(next: StreamState): void {
    if (!STREAM_STATES[this.#state].next.includes(next)) {
      throw new Error(`upstream stream: ${this.#state} -> ${next} is not in the table`);
    }
    this.#state = next;
    this.#renewDeadline();
  }

  #renewDeadline(): void {
    const { timeout } = STREAM_STATES[this.#state];
    this.deadlineMs =
      timeout === null ? Number.POSITIVE_INFINITY : this.#context.clock.monotonicMs() + this.#context.timeouts[timeout];
  }
}
