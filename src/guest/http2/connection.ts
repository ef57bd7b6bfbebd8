import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Deadlined } from "../../core/deadline.ts";
import { Denial } from "../../core/denial.ts";
import { Fields } from "../../core/fields.ts";
import type { ExchangeRecord } from "../../core/record.ts";
import { Roster, type Seat } from "../../core/roster.ts";
import { runExchange } from "../../line/exchange.ts";
import { ERROR_CODE, isLast } from "../../http2/codes.ts";
import { Http2Error } from "../../http2/grammar.ts";
import { http2 } from "../../http2/module.ts";
import { endSession, endSessionOutside, endStreamOutside, isEnded, outside } from "../../http2/outside.ts";
import { ConnectionAccount } from "../connection-account.ts";
import type { GuestEnvironment, HeldConnection } from "../environment.ts";
import type { ConnectionPlace, TunnelPlace } from "../place.ts";
import { pathOf } from "../request.ts";
import { type Beginnings, BeginTurns, type NewStream } from "./begin-turns.ts";
import { Conduct } from "./conduct.ts";
import { watchControlFrames } from "./control-frames.ts";
import { Http2GuestExchange } from "./exchange.ts";
import { readStreamRequest, type StreamRequest } from "./request.ts";
import { UntoldStreams } from "./untold-streams.ts";

/** Streams of frames that are there to keep an edge busy: resets, beyond what clients that cancel their calls need. */
const RESET_BURST = 200;
const RESETS_PER_SECOND = 100;
/** Streams that break the grammar, beyond what a client with a fault needs to see of its fault. */
const MOST_INVALID_FRAMES = 100;
/** Pseudo-header fields and cookies that come in pieces, beside the fields that the limit counts. */
const FURTHER_PAIRS = 40;
/** What HPACK may add to a field at worst, and what comes beside the fields of an answer. */
const HPACK_FIELD_BYTES = 12;
const FURTHER_BYTES = 1024;

/**
 * One HTTP/2 connection of a guest, inside a tunnel. Every stream is an exchange of its own: read, decided, leased, accounted
 * for. Frames, HPACK and windows are `node:http2`'s, with limits of ours; what breaks them ends the connection with GOAWAY and
 * one record that says so.
 */
export class Http2GuestConnection implements HeldConnection, Deadlined, Beginnings {
  readonly socket: Socket;
  readonly saysGoodbye = true;
  deadlineMs: number;
  readonly #environment: GuestEnvironment;
  readonly #place: ConnectionPlace & { readonly tunnel: TunnelPlace };
  readonly #account: ConnectionAccount;
  readonly #session: ServerHttp2Session;
  readonly #exchanges = new Roster<Http2GuestExchange>();
  #isLeaving = false;
  /** The end of the session waits for the next phase. */
  #isCut = false;
  /** Exchanges that have begun. */
  #begun = 0;
  readonly #turns = new BeginTurns(this);
  readonly #untold: UntoldStreams;
  readonly #conduct: Conduct;

  /** @param socket TLS that has agreed on `h2`, or plain for HTTP/2 in cleartext; nothing has been read of it */
  constructor(
    socket: Socket,
    place: ConnectionPlace & { readonly tunnel: TunnelPlace },
    environment: GuestEnvironment,
  ) {
    this.socket = socket;
    this.#place = place;
    this.#environment = environment;
    this.#account = new ConnectionAccount(environment, place);
    const { limits, sweep } = environment;
    this.deadlineMs = this.#idleDeadline();
    this.#session = http2().performServerHandshake(socket, {
      settings: {
        maxConcurrentStreams: limits.http2Streams,
        maxHeaderListSize: limits.headBytes,
        enableConnectProtocol: true,
      },
      maxHeaderListPairs: limits.headFields + FURTHER_PAIRS,
      // What is too long for it ends the whole connection, and an upstream chooses how long its heads and trailers are.
      maxSendHeaderBlockLength:
        Math.max(
          limits.headBytes + HPACK_FIELD_BYTES * limits.headFields,
          limits.trailerBytes + HPACK_FIELD_BYTES * limits.trailerFields,
        ) + FURTHER_BYTES,
      maxSessionInvalidFrames: MOST_INVALID_FRAMES,
      streamResetBurst: RESET_BURST,
      streamResetRate: RESETS_PER_SECOND,
      // Two lines of one name are the guest's business and the upstream's, not this hop's.
      strictSingleValueFields: false,
    });
    endSessionOutside(this.#session, socket);
    this.#session.on("stream", this.#onStream);
    this.#session.on("error", this.#onError);
    const { clock } = environment.line;
    const nowMs = (): number => clock.monotonicMs();
    watchControlFrames(
      this.#session,
      nowMs,
      () => this.#progress(),
      () => this.#onFlood("PING and SETTINGS without end, and nothing beside them"),
    );
    this.#untold = new UntoldStreams(socket, this.#session, limits.http2Streams, nowMs, () =>
      this.#onFlood("heads without end that are beyond every limit"),
    );
    this.#conduct = new Conduct(environment.floods, place.guest, this.#untold);
    // Over TLS a close_notify means that the guest has left; an HTTP/2 client that still waits for answers keeps its side open.
    socket.once("end", () => {
      this.#conduct.left();
      endSession(this.#session, this.#exchanges.size > 0);
    });
    const seats = [sweep.add(this), sweep.add(this.#untold)];
    // Before Node takes the session apart: nothing is known of it then.
    socket.prependOnceListener("close", () => {
      this.#conduct.left();
      seats.forEach((seat) => sweep.delete(seat));
      this.#untold.close();
    });
  }

  /** A drain began: no new streams; the connection ends with its last one. */
  drain(): void {
    this.#leave();
  }

  cut(): void {
    this.#isCut = true;
    for (const exchange of this.#exchanges) exchange.cut();
    // Behind the resets of the streams, which are put off as well.
    outside(() => {
      endSession(this.#session, true);
      this.socket.destroy();
    });
  }

  onDeadline(nowMs: number): void {
    if (nowMs >= this.#place.endsAtMs) this.cut();
    else if (this.#exchanges.size > 0) this.deadlineMs = this.#place.endsAtMs;
    else if (this.#isLeaving) this.socket.destroy();
    else this.#leave();
  }

  readonly #onStream = (
    stream: ServerHttp2Stream,
    _headers: IncomingHttpHeaders,
    flags: number,
    raw: readonly string[],
  ): void => {
    // `close` follows every error; what there is to do is done there.
    stream.on("error", () => undefined);
    endStreamOutside(stream);
    this.#untold.tell();
    // The peer's count of streams forgets those that it reset; ours does not before their exchange is over.
    const isFull = this.#exchanges.size + this.#turns.size >= this.#environment.limits.http2Streams;
    if (isFull || this.#isOver) {
      stream.close(ERROR_CODE.refusedStream);
      return;
    }
    this.#turns.add({ stream, endsHere: isLast(flags), raw, trailers: null });
  };

  /** Nothing may begin. */
  get #isOver(): boolean {
    return this.#isCut || isEnded(this.#session);
  }

  begin(stream: NewStream): void {
    if (this.#isOver) this.leftAlone(stream);
    else this.#guarded(() => this.#beginExchange(stream));
  }

  /** It is written down, and that is all. */
  leftAlone({ endsHere, raw }: NewStream): void {
    this.#guarded(() => {
      const record = this.#openRecord(this.#read(raw, endsHere));
      record.outcome = this.#isCut ? "edge_aborted" : "guest_aborted";
      this.#account.close(record);
      if (!this.#isOver) this.#conduct.reset();
    });
  }

  #guarded(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      this.#onFault(thrown);
    }
  }

  #beginExchange({ stream, endsHere, raw, trailers }: NewStream): void {
    this.#begun++;
    const { tunnel, endsAtMs, guest } = this.#place;
    const { streams } = this.#environment;
    const isTooMany = streams.isFull(guest);
    streams.add(guest, stream);
    const request = this.#read(raw, endsHere);
    const refusal = isTooMany ? new Denial("connection_limit", { cause: "HTTP/2 streams" }) : request.refusal;
    const record = this.#openRecord(request);
    const exchange = new Http2GuestExchange(stream, request, record, {
      environment: this.#environment,
      tunnel,
      endsAtMs,
      onFault: this.#onFault,
    });
    if (trailers !== null) exchange.body.takeTrailers(trailers);
    const seat = this.#exchanges.add(exchange);
    this.deadlineMs = endsAtMs;
    if (refusal === null) {
      this.#environment.running.began();
      // Owned by this connection: it never rejects.
      void this.#run(exchange, seat);
      return;
    }
    this.#account.deny(record, refusal);
    try {
      exchange.refuse(refusal);
    } finally {
      this.#account.close(record);
      this.#over(exchange, seat);
    }
  }

  #openRecord(request: StreamRequest): ExchangeRecord {
    const { scheme } = this.#place.tunnel;
    const record = this.#account.open(request.upgrade === null ? "http" : "upgrade");
    record.method = request.method;
    record.scheme = scheme;
    record.authority = request.authority.text;
    record.path = pathOf(request.path);
    return record;
  }

  /** A head that breaks the grammar is a request that can only be refused. */
  #read(raw: readonly string[], endsHere: boolean): StreamRequest {
    const { tunnel } = this.#place;
    const { headFields, headBytes } = this.#environment.limits;
    try {
      return readStreamRequest(raw, endsHere, tunnel, { fields: headFields, bytes: headBytes });
    } catch (thrown) {
      if (!(thrown instanceof Http2Error)) throw thrown;
      return unreadable(thrown, tunnel, endsHere);
    }
  }

  async #run(exchange: Http2GuestExchange, seat: Seat): Promise<void> {
    const { line, running } = this.#environment;
    try {
      await runExchange(line, exchange);
    } catch (thrown) {
      this.#onFault(thrown);
    } finally {
      running.ended();
      this.#over(exchange, seat);
    }
  }

  #over(exchange: Http2GuestExchange, seat: Seat): void {
    if (exchange.record.outcome === "guest_aborted" && !this.#isOver) this.#conduct.reset();
    this.#exchanges.delete(seat);
    if (this.#exchanges.size === 0) this.deadlineMs = this.#idleDeadline();
  }

  /** GOAWAY; then the guest has a moment to close, since a reset would take its last answer from it. */
  #leave(): void {
    this.#isLeaving = true;
    if (!this.#session.closed) this.#session.close();
    if (this.#exchanges.size === 0) this.deadlineMs = this.#idleDeadline();
  }

  #idleDeadline(): number {
    const { line, timeouts } = this.#environment;
    const idleMs = this.#isLeaving ? timeouts.requestHeadMs : timeouts.guestIdleMs;
    return Math.min(line.clock.monotonicMs() + idleMs, this.#place.endsAtMs);
  }

  /** A fault of the edge itself costs this guest its connection, nobody else anything. */
  readonly #onFault = (thrown: unknown): void => {
    const record = this.#account.open("connection");
    record.denial = "internal";
    record.detail = Denial.from(thrown).detail;
    record.outcome = "edge_aborted";
    this.#account.close(record);
    this.cut();
  };

  /** Changes with every stream, and with every byte that one of them moves. */
  #progress(): number {
    let sum = this.#begun;
    for (const { record } of this.#exchanges) sum += record.bytesFromGuest + record.bytesToGuest;
    return sum;
  }

  #onFlood(cause: string): void {
    this.#session.destroy(new Denial("http2_violation", { cause }), ERROR_CODE.enhanceYourCalm);
  }

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    const denial = this.#conduct.judge(error);
    if (denial !== null) {
      const record = this.#account.open("connection");
      this.#account.deny(record, denial);
      this.#account.close(record);
    }
    this.socket.destroy();
  };
}

function unreadable(error: Http2Error, { authority }: TunnelPlace, endsHere: boolean): StreamRequest {
  return {
    method: "",
    authority,
    path: "",
    fields: Fields.of([]),
    length: endsHere ? "none" : "stream",
    expectContinue: false,
    wantsTrailers: false,
    upgrade: null,
    isGrpc: false,
    refusal: new Denial(error.isLimit ? "header_limit" : "request_malformed", { cause: error }),
  };
}
