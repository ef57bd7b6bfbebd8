import type { ServerHttp2Stream } from "node:http2";
import type { Authority } from "../../core/authority.ts";
import { Denial, type DenialCode } from "../../core/denial.ts";
import type { Fields } from "../../core/fields.ts";
import type { ExchangeRecord } from "../../core/record.ts";
import type { Abort, AnswerHead, GuestExchange, GuestWatcher, RawStream, SessionProof } from "../../core/wire.ts";
import { appendFieldLines, fieldObject } from "../../http2/field-lines.ts";
import { ERROR_CODE, isViolation } from "../../http2/codes.ts";
import { resetStream } from "../../http2/reset.ts";
import { ConnectionLife, type LifeOwner } from "../connection-life.ts";
import type { GuestEnvironment } from "../environment.ts";
import type { TunnelPlace } from "../place.ts";
import { Reading } from "../reading.ts";
import { refusalMessage } from "../refusal.ts";
import { watchTunnel } from "../tunnel-watch.ts";
import { type AnswerOwner, AnswerWriter } from "./answer-writer.ts";
import { grpcRefusal } from "./grpc.ts";
import type { StreamRequest } from "./request.ts";
import { type BodyOwner, Http2RequestBody } from "./request-body.ts";
import { checkAccept, type HandshakeKey, handshakeKey, rawStream } from "./websocket.ts";

/** Where a stream stands: the connection that carries it. */
export interface StreamPlace {
  readonly environment: GuestEnvironment;
  readonly tunnel: TunnelPlace;
  /** Monotonic ms at which the connection ends whatever happens. */
  readonly endsAtMs: number;
  /** A fault of the edge itself. */
  readonly onFault: (thrown: unknown) => void;
}

/**
 * One HTTP/2 stream of a guest: its request and the writer of its answer. It follows the table of `states.ts` like a connection
 * with a single exchange.
 */
export class Http2GuestExchange implements GuestExchange, AnswerOwner, BodyOwner, LifeOwner {
  readonly record: ExchangeRecord;
  readonly proof: SessionProof;
  readonly method: string;
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  readonly target: string;
  readonly fields: Fields;
  readonly body: Http2RequestBody;
  readonly upgrade: "websocket" | null;
  readonly wantsTrailers: boolean;
  readonly needsHttp2: boolean;
  answered = false;
  aborted: Abort | null = null;
  watcher: GuestWatcher | null = null;
  readonly #stream: ServerHttp2Stream;
  readonly #place: StreamPlace;
  readonly #life: ConnectionLife;
  readonly #webSocketKey: HandshakeKey | null;
  readonly #writer: AnswerWriter;
  /** Of an answer that was said, while the guest still sends. */
  #reading: Reading | null = null;
  /** The answer was ended, broken off or given away: what the stream does now is nobody's abort. */
  #over = false;

  constructor(stream: ServerHttp2Stream, request: StreamRequest, record: ExchangeRecord, place: StreamPlace) {
    this.record = record;
    this.proof = place.tunnel.proof;
    this.method = request.method;
    this.scheme = place.tunnel.scheme;
    this.authority = request.authority;
    this.target = request.path;
    this.fields = request.fields;
    this.upgrade = request.upgrade;
    this.wantsTrailers = request.wantsTrailers;
    this.needsHttp2 = request.isGrpc;
    this.#webSocketKey = request.upgrade === null ? null : handshakeKey(request.fields);
    this.#stream = stream;
    this.#place = place;
    this.#writer = new AnswerWriter(stream, this);
    const { trailerFields, trailerBytes } = place.environment.limits;
    this.body = new Http2RequestBody(stream, request, record, { fields: trailerFields, bytes: trailerBytes }, this);
    this.#life = new ConnectionLife(place.environment, place.endsAtMs, this);
    this.#life.enter("deciding");
    stream.on("drain", this.#onDrain);
    stream.on("aborted", this.#onGone);
    stream.on("close", this.#onClose);
  }

  // --- the answer ------------------------------------------------------------------------------------------------------

  interim(head: AnswerHead): void {
    if (this.#isGone || head.status === 101) return;
    this.#stream.additionalHeaders({ ...fieldObject(head.fields), ":status": head.status });
    if (head.status === 100 && this.#life.state === "awaiting_continue") this.#life.enter("relaying_body");
  }

  /** @throws Denial `upstream_protocol` for what no guest may see */
  answer(head: AnswerHead): void {
    // RFC 8441 §5: to the guest any 2xx says that the WebSocket is open.
    if (this.#webSocketKey !== null && head.status < 300)
      throw new Denial("upstream_protocol", { cause: "a WebSocket handshake was answered as any other request" });
    this.#writer.head(head);
  }

  data(chunk: Buffer): void {
    this.#writer.data(chunk);
  }

  end(trailers: Fields | null): void {
    this.#over = true;
    if (this.#isGone) return;
    this.#writer.end(trailers);
    this.#leave();
  }

  flush(): boolean {
    if (this.#isGone) {
      this.#writer.drop();
      return true;
    }
    this.#writer.write();
    const isFlowing = !this.#stream.writableNeedDrain;
    if (!isFlowing) this.#life.awaitReader();
    // Full duplex: a guest may listen for long before it goes on with its request.
    else if (this.#life.state === "answered_early") this.#life.renew();
    return isFlowing;
  }

  breakOff(resetCode: number | null): void {
    this.#over = true;
    this.#writer.drop();
    // NO_ERROR would make a broken answer look like one that needed no more of the request (RFC 9113 §8.1).
    const isCode = resetCode !== null && resetCode !== ERROR_CODE.none;
    resetStream(this.#stream, isCode ? resetCode : ERROR_CODE.internal);
  }

  passReset(resetCode: number): boolean {
    if (isViolation(resetCode)) return false;
    this.breakOff(resetCode);
    return true;
  }

  refuse(denial: Denial): void {
    this.#over = true;
    this.#writer.drop();
    if (this.#isGone) return;
    this.answerBegan();
    const nowMs = this.#place.environment.line.clock.wallMs();
    if (this.needsHttp2) {
      this.#writer.respond(grpcRefusal(denial, this.record.id), true);
    } else {
      const { status, lines, body } = refusalMessage(denial, this.record.id, nowMs);
      const list = [":status", String(status), ...lines.flatMap(([name, value]) => [name.toLowerCase(), value])];
      const isHead = this.method === "HEAD";
      this.#writer.respond(list, isHead);
      if (!isHead) this.#stream.end(body);
    }
    this.#leave();
  }

  switchProtocols(head: AnswerHead): RawStream {
    if (this.#webSocketKey === null) throw new Denial("internal", { cause: "no upgrade was asked for" });
    checkAccept(head.fields, this.#webSocketKey);
    if (this.#isGone) throw new Denial("request_malformed", { cause: "the guest went away" });
    this.#over = true;
    this.answered = true;
    // RFC 8441 §5: 200 takes the place of 101.
    this.#writer.respond(appendFieldLines([":status", "200"], head.fields), false);
    this.#life.enter("handed_over");
    const { environment, endsAtMs } = this.#place;
    watchTunnel(
      this.#stream,
      () => this.record.bytesFromGuest + this.record.bytesToGuest,
      endsAtMs,
      environment,
      () => this.guarded(() => this.cut()),
    );
    return rawStream(this.#stream);
  }

  answerBegan(): void {
    this.answered = true;
    this.#life.answerBegan();
    const { state } = this.#life;
    if (state === "answering" || state === "answered_early" || state === "closed") return;
    this.#life.enter(this.body.done ? "answering" : "answered_early");
  }

  /**
   * All was said. A guest that still sends is read for a moment and what comes thrown away: a reset could overtake the answer
   * that waits to be written.
   */
  #leave(): void {
    if (this.body.done) {
      this.#life.awaitReader();
      return;
    }
    this.body.discard(() => this.#endLinger());
    this.#reading = new Reading(this.#stream);
    this.#life.enter("delivering");
    if (this.#stream.writableFinished) this.#onDelivered();
    else this.#stream.once("finish", this.#onDelivered);
  }

  readonly #onDelivered = (): void =>
    this.guarded(() => {
      if (this.#life.state === "delivering") this.#life.enter("lingering");
    });

  // --- for the body ----------------------------------------------------------------------------------------------------

  bodyStarted(): void {
    if (this.#life.state !== "deciding") return;
    if (this.body.done) this.#life.enter("answering");
    else this.#life.enter(this.body.expectContinue ? "awaiting_continue" : "relaying_body");
  }

  bodyMoved(): void {
    if (this.#life.state === "awaiting_continue") this.#life.enter("relaying_body");
    else if (this.#life.state !== "delivering" && this.#life.state !== "lingering") this.#life.renew();
  }

  bodyCompleted(): void {
    const { state } = this.#life;
    if (state === "awaiting_continue" || state === "relaying_body" || state === "answered_early") {
      this.#life.enter("answering");
    }
  }

  // --- ends ------------------------------------------------------------------------------------------------------------

  /** The edge ends it now, whatever it does. */
  cut(): void {
    this.abort("edge_aborted");
    this.#over = true;
    resetStream(this.#stream, ERROR_CODE.cancel);
  }

  /** The guest is gone, or is about to be: whoever relays is told once. */
  abort(by: Abort): void {
    if (this.aborted !== null) return;
    this.aborted = by;
    this.#writer.drop();
    // The relay first: to it a body that breaks off is a failure of the upstream's side.
    this.watcher?.guestAborted();
    this.body.break(new Denial("request_malformed", { cause: "the guest went away" }));
  }

  get #isGone(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  timeUp(onTimeout: DenialCode | null, isOld: boolean): void {
    this.guarded(() => this.#timeUp(onTimeout, isOld));
  }

  #timeUp(onTimeout: DenialCode | null, isOld: boolean): void {
    if (isOld) this.cut();
    else if (this.#life.state === "delivering" && this.#reading?.hasGoneOn() === true) this.#life.renew();
    else if (this.#life.state === "delivering" || this.#life.state === "lingering") this.#endLinger();
    else if (onTimeout !== null) {
      // A guest that is not being read is not the one who is late.
      this.body.break(new Denial(this.#stream.isPaused() ? "upstream_timeout" : onTimeout));
    } else {
      this.abort("guest_aborted");
      this.#over = true;
      resetStream(this.#stream, ERROR_CODE.cancel);
    }
  }

  #endLinger(): void {
    // RFC 9113 §8.1: a server that has answered may end the rest of a request with NO_ERROR.
    if (this.#stream.writableFinished) this.#stream.close(ERROR_CODE.none);
    // That would wait for the answer to be read, for ever.
    else resetStream(this.#stream, ERROR_CODE.cancel);
  }

  readonly #onDrain = (): void =>
    this.guarded(() => {
      this.#life.readerCame();
      this.watcher?.guestDrained();
    });

  readonly #onGone = (): void =>
    this.guarded(() => {
      if (!this.#over) this.abort("guest_aborted");
    });

  readonly #onClose = (): void =>
    this.guarded(() => {
      if (!this.#over) this.abort("guest_aborted");
      if (this.#life.state !== "closed") this.#life.enter("closed");
    });

  /** Whatever is thrown inside an event would end the process: it ends this guest's connection instead. */
  guarded(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      this.#place.onFault(thrown);
    }
  }
}
