import type { Socket } from "node:net";
import { Denial, type DenialCode } from "../core/denial.ts";
import { readDirectly } from "../core/direct-reads.ts";
import type { ExchangeRecord } from "../core/record.ts";
import type { RawStream } from "../core/wire.ts";
import type { Batch } from "../http1/batch.ts";
import { runExchange } from "../line/exchange.ts";
import { breakOff, isTls } from "./break-off.ts";
import { ConnectionAccount } from "./connection-account.ts";
import { ConnectionLife, type LifeOwner } from "./connection-life.ts";
import { EndedGuest } from "./ended-guest.ts";
import type { GuestEnvironment, HeldConnection } from "./environment.ts";
import type { ExchangeOwner, Http1GuestExchange } from "./exchange.ts";
import { Linger } from "./linger.ts";
import { openExchange } from "./open-exchange.ts";
import type { BodyOwner } from "./request-body.ts";
import { type TurnOwner, TurnShare } from "./pipeline-turns.ts";
import type { ConnectionPlace, TunnelGuest, TunnelOpener } from "./place.ts";
import { grammarDenial, type ReadRequest } from "./request.ts";
import { RequestInput } from "./request-input.ts";
import { watchSocket } from "./tunnel-watch.ts";

/**
 * One HTTP/1.1 connection of a guest: reads heads, runs one exchange at a time through the line, answers in order. What does
 * not fit the grammar is refused and the connection closed.
 */
export class GuestConnection implements HeldConnection, ExchangeOwner, BodyOwner, TunnelGuest, LifeOwner, TurnOwner {
  readonly socket: Socket;
  readonly place: ConnectionPlace;
  /** The edge ended it, with whatever ran on it. */
  wasCut = false;
  readonly #environment: GuestEnvironment;
  readonly #life: ConnectionLife;
  readonly #account: ConnectionAccount;
  readonly #openTunnel: TunnelOpener | null;
  readonly #stopReading: () => void;
  readonly #closing: Linger;
  readonly #share: TurnShare;
  readonly #input: RequestInput;
  #exchange: Http1GuestExchange | null = null;
  #inputEnded = false;

  /** @param openTunnel what to do with CONNECT; `null` where no tunnel may begin (inside a tunnel) */
  constructor(socket: Socket, place: ConnectionPlace, environment: GuestEnvironment, openTunnel: TunnelOpener | null) {
    this.socket = socket;
    this.place = place;
    this.#environment = environment;
    this.#openTunnel = openTunnel;
    this.#account = new ConnectionAccount(environment, place);
    this.#closing = new Linger(socket, place.transport);
    this.#share = new TurnShare(environment.turns, this);
    this.#input = new RequestInput(environment.limits, place);
    this.#stopReading = readDirectly(socket, this.#onData);
    socket.on("drain", this.#onDrain);
    socket.on("end", this.#onEnd);
    socket.on("error", awaitClose);
    socket.on("close", this.#onClose);
    this.#life = new ConnectionLife(environment, place.endsAtMs, this);
  }

  get hasLeft(): boolean {
    return this.#inputEnded || this.socket.destroyed || this.#life.state === "closed";
  }

  /** A drain began: closes what is idle, once the guest has been handed all of its last answer. */
  drain(): void {
    if (this.#life.state === "fresh" || this.#life.state === "idle") this.#endUnused();
  }

  /** Ends the connection now, whatever runs on it. */
  cut(): void {
    this.wasCut = true;
    const exchange = this.#exchange;
    exchange?.abort("edge_aborted");
    if (exchange?.answered === true) this.destroyBroken();
    else this.#closing.end();
  }

  // --- reading -------------------------------------------------------------------------------------------------------

  /** Bytes of the guest; also called for those that another reader had taken before this connection was made. */
  readonly #onData = (segment: Buffer): void => this.#guarded(() => this.#take(segment));

  #take(segment: Buffer): void {
    const exchange = this.#exchange;
    if (exchange !== null) {
      if (exchange.body.done) this.#keep(segment);
      else {
        if (this.#life.state === "awaiting_continue") this.#life.enter("relaying_body");
        else this.#life.renew();
        exchange.body.feed(segment);
      }
      return;
    }
    const { state } = this.#life;
    if (state === "lingering" || state === "delivering") this.#closing.take(segment);
    else if (state !== "closed" && this.#share.mayBegin) {
      this.#input.add(segment);
      this.#read();
    } else if (state !== "closed") {
      this.#keep(segment);
      this.#share.wait();
    }
  }

  #guarded(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      this.#fault(thrown);
    }
  }

  /** A fault of the edge itself costs this guest its connection, nobody else anything. */
  #fault(thrown: unknown): void {
    const record = this.#exchange?.record ?? this.#account.open("http");
    record.denial = "internal";
    record.detail = Denial.from(thrown).detail;
    record.outcome = "edge_aborted";
    if (this.#exchange === null) this.#account.close(record);
    this.cut();
  }

  /** Bytes beyond the current request wait; one segment is enough, then the socket is paused. */
  #keep(segment: Buffer): void {
    this.#input.add(segment);
    this.socket.pause();
  }

  #read(): void {
    try {
      const request = this.#input.next();
      if (request === null) this.#awaitHead();
      else if (request.kind === "connect") this.#connect(request);
      else this.#begin(request);
    } catch (thrown) {
      this.#refuseUnread(thrown);
    }
  }

  #awaitHead(): void {
    if (this.#inputEnded) this.#linger();
    else if (this.#life.state !== "reading_head") this.#life.enter("reading_head");
  }

  #begin(request: Extract<ReadRequest, { kind: "exchange" }>): void {
    this.#share.began();
    const record = this.#account.open(request.control.upgrade.includes("websocket") ? "upgrade" : "http");
    const exchange = openExchange(request, record, this.#environment, this);
    this.#exchange = exchange;
    this.#life.enter("deciding");
    const early = exchange.body.done ? null : this.#input.takeAll();
    if (early !== null) exchange.body.feed(early);
    if (request.refusal !== null) {
      this.#account.refuseExchange(exchange, request.refusal);
      // Not at once: a segment full of such requests would recurse through `#read`.
      queueMicrotask(() => this.#guarded(() => this.#exchangeOver(exchange)));
      return;
    }
    if (this.#inputEnded) this.#inputOver(exchange);
    // Owned by this connection: it never rejects, and its end is what frees the connection for the next request.
    void this.#run(exchange);
  }

  async #run(exchange: Http1GuestExchange): Promise<void> {
    const { line, running } = this.#environment;
    running.began();
    try {
      await runExchange(line, exchange);
      this.#exchangeOver(exchange);
    } catch (thrown) {
      this.#fault(thrown);
    } finally {
      running.ended();
    }
  }

  #exchangeOver(exchange: Http1GuestExchange): void {
    // Given away, cut or broken off: nothing follows.
    if (this.#exchange !== exchange || this.#life.state === "handed_over" || this.socket.destroyed) return;
    this.#exchange = null;
    if (exchange.wasAnsweredUpstream) this.#share.renew();
    const isLast = this.#inputEnded && this.#input.isEmpty;
    if (exchange.closes || !exchange.body.done || this.#environment.isDraining() || isLast) {
      this.#linger();
      return;
    }
    this.#life.enter("idle");
    if (this.socket.writableNeedDrain) {
      // A guest that asks on without reading its answers would pile them up here: it is read again once they are gone.
      this.socket.pause();
      this.#life.awaitReader();
    } else this.#readOn();
  }

  /** Goes on with what waits here, and lets more in unless that is much: a guest that sends on would pile it up. */
  #readOn(): void {
    if (!this.#input.isEmpty) {
      if (!this.#share.mayFollow()) {
        this.socket.pause();
        this.#share.wait();
        return;
      }
      this.#read();
    }
    const exchange = this.#exchange;
    // While an exchange runs, too: only so a guest is seen to leave.
    const hasRoom = exchange?.body.done === true && !this.#input.isEnough;
    if (hasRoom || (exchange === null && this.#isReading)) this.socket.resume();
  }

  /** Nothing runs, and what has come is not a whole head. */
  get #isReading(): boolean {
    return this.#life.state === "idle" || this.#life.state === "reading_head";
  }

  /** Its turn has come, unless the connection has ended meanwhile, or is about to. */
  goOn(): void {
    if (this.#isReading && !this.socket.destroyed) this.#guarded(() => this.#readOn());
  }

  // --- CONNECT -------------------------------------------------------------------------------------------------------

  #connect(request: Extract<ReadRequest, { kind: "connect" }>): void {
    const record = this.#account.open("connect");
    record.method = "CONNECT";
    record.authority = request.authority.text;
    this.#life.enter("deciding");
    if (this.#openTunnel === null) {
      this.refuseTunnel(record, new Denial("tunnel_unsupported", { cause: "CONNECT inside a tunnel" }));
      return;
    }
    this.socket.pause();
    this.#openTunnel(this, { authority: request.authority, proof: request.proof, record });
  }

  refuseTunnel(record: ExchangeRecord, denial: Denial): void {
    this.#account.refuse(this.socket, record, denial);
    this.#linger();
  }

  /** For whatever takes over. @throws Error when the guest has left */
  release(watch: boolean): Socket {
    const { socket } = this;
    this.#life.enter("handed_over");
    socket.pause();
    this.#stopReading();
    socket.off("drain", this.#onDrain);
    socket.off("end", this.#onEnd);
    const early = this.#input.takeAll();
    if (early !== null) socket.unshift(early);
    if (watch) watchSocket(socket, this.place.endsAtMs, this.#environment, () => this.cut());
    return socket;
  }

  // --- for the exchange ------------------------------------------------------------------------------------------------

  write(batch: Batch): boolean {
    if (this.socket.destroyed) {
      batch.clear();
      return true;
    }
    const flowing = batch.writeTo(this.socket);
    if (!flowing) this.#life.awaitReader();
    // Full duplex: a guest may listen for long before it goes on with its request.
    else if (this.#life.state === "answered_early") this.#life.renew();
    return flowing;
  }

  answerBegan(): void {
    this.#life.answerBegan();
    const exchange = this.#exchange;
    const { state } = this.#life;
    // Once is enough: an answer that failed before it was written is followed by a refusal.
    if (exchange === null || state === "answering" || state === "answered_early" || state === "closed") return;
    this.#life.enter(exchange.body.done ? "answering" : "answered_early");
  }

  continued(): void {
    if (this.#life.state === "awaiting_continue") this.#life.enter("relaying_body");
  }

  destroyBroken(): void {
    breakOff(this.socket, this.place.transport);
  }

  handOver(): RawStream {
    const said = this.socket.readableEnded ? this.#input.takeAll() : null;
    const socket = this.release(true);
    return said === null ? socket : new EndedGuest(said, socket);
  }

  bodyStarted(): void {
    const exchange = this.#exchange;
    if (exchange === null || this.#life.state !== "deciding") return;
    this.#life.enter(exchange.body.expectContinue ? "awaiting_continue" : "relaying_body");
  }

  bodyCompleted(rest: Buffer): void {
    if (rest.length > 0) this.#keep(rest);
    const { state } = this.#life;
    if (state === "awaiting_continue" || state === "relaying_body" || state === "answered_early") {
      this.#life.enter("answering");
    }
  }

  // --- ends ------------------------------------------------------------------------------------------------------------

  bodyCutShort(): void {
    this.#exchange?.abort("guest_aborted");
    this.socket.destroy();
  }

  timeUp(onTimeout: DenialCode | null, isOld: boolean): void {
    this.#guarded(() => this.#timeUp(onTimeout, isOld));
  }

  #timeUp(onTimeout: DenialCode | null, isOld: boolean): void {
    const exchange = this.#exchange;
    if (isOld) this.cut();
    else if (exchange === null) {
      if (onTimeout === null) this.#endUnused();
      else this.#refuseUnread(new Denial(onTimeout));
    } else if (onTimeout !== null) {
      // A guest that is not being read is not the one who is late.
      exchange.body.break(new Denial(this.socket.isPaused() ? "upstream_timeout" : onTimeout));
    } else if (exchange.answered) this.destroyBroken();
    else this.socket.destroy();
  }

  /** Nothing more is waited for, but that the guest reads its last answer. */
  #endUnused(): void {
    if (this.#life.state === "delivering" && this.#closing.isRead()) this.#life.renew();
    // Closed with requests unread, as they are while it waits for its turn, the kernel resets it: its answers would be lost.
    else if (this.#life.state === "idle" && (this.socket.writableLength > 0 || this.socket.isPaused())) this.#linger();
    else this.#closing.end();
  }

  readonly #onDrain = (): void =>
    this.#guarded(() => {
      this.#life.readerCame();
      if (this.#exchange !== null) this.#exchange.watcher?.guestDrained();
      else if (this.#life.state === "idle") this.#readOn();
    });

  /** FIN from the guest. */
  readonly #onEnd = (): void =>
    this.#guarded(() => {
      this.#inputEnded = true;
      if (this.#exchange !== null) this.#inputOver(this.#exchange);
      // Requests that wait until the guest has read its answers are answered, too.
      else if (!this.socket.writableEnded && (this.#life.state !== "idle" || this.#input.isEmpty)) this.socket.end();
    });

  /** A plain TCP client may close its sending side and wait for the answer; over TLS a close_notify means it has left. */
  #inputOver(exchange: Http1GuestExchange): void {
    if (isTls(this.socket) || !exchange.body.inputEnded()) {
      // Told at once: by the time of `close` it may have been sent.
      exchange.abort("guest_aborted");
      this.socket.destroy();
    } else if (!exchange.answered) this.#life.halfClosed();
  }

  readonly #onClose = (): void =>
    this.#guarded(() => {
      if (this.#life.state === "handed_over" || this.#life.state === "closed") return;
      this.#life.enter("closed");
      this.#input.takeAll();
      const exchange = this.#exchange;
      this.#exchange = null;
      exchange?.abort("guest_aborted");
    });

  /** The message could not be read: refuse it, close the connection. */
  #refuseUnread(thrown: unknown): void {
    this.#account.refuse(this.socket, this.#account.open("http"), grammarDenial(thrown));
    this.#linger();
  }

  #linger(): void {
    const { state } = this.#life;
    if (state === "closed") return;
    this.#exchange = null;
    this.#input.takeAll();
    if (state !== "delivering" && state !== "lingering") {
      this.#life.enter("delivering");
      if (this.socket.writableLength === 0) this.#onDelivered();
      else this.socket.once("finish", this.#onDelivered);
    }
    this.#closing.begin(this.#inputEnded);
  }

  readonly #onDelivered = (): void =>
    this.#guarded(() => {
      if (this.#life.state === "delivering") this.#life.enter("lingering");
    });
}

/** `close` follows every error; what there is to do is done there. */
const awaitClose = (): void => undefined;
