import type { Socket } from "node:net";
import type { Deadlined } from "../core/deadline.ts";
import { Denial } from "../core/denial.ts";
import type { ExchangeRecord } from "../core/record.ts";
import { ConnectionAccount } from "./connection-account.ts";
import type { GuestEnvironment } from "./environment.ts";
import { Linger } from "./linger.ts";
import type { ConnectionPlace, TunnelGuest, TunnelOpener } from "./place.ts";
import { socksCodeOf } from "./socks-denial.ts";
import { type SocksEnd, SocksHandshake, socksReply } from "./socks-handshake.ts";
import { watchSocket } from "./tunnel-watch.ts";

/**
 * One SOCKS5 connection of a guest up to its answer; what follows is a tunnel as after CONNECT, and no concern of SOCKS. The
 * whole handshake has the time of a request head, however it drips in.
 */
export class SocksConnection implements TunnelGuest, Deadlined {
  readonly socket: Socket;
  readonly place: ConnectionPlace;
  deadlineMs: number;
  readonly #environment: GuestEnvironment;
  readonly #openTunnel: TunnelOpener;
  readonly #account: ConnectionAccount;
  readonly #closing: Linger;
  readonly #handshake = new SocksHandshake();
  #state: "handshake" | "deciding" | "handed_over" | "lingering" = "handshake";
  #pending: Buffer | null = null;
  #inputEnded = false;
  #wasCut = false;

  constructor(socket: Socket, place: ConnectionPlace, environment: GuestEnvironment, openTunnel: TunnelOpener) {
    this.socket = socket;
    this.place = place;
    this.#environment = environment;
    this.#openTunnel = openTunnel;
    this.#account = new ConnectionAccount(environment, place);
    this.#closing = new Linger(socket, place.transport);
    this.deadlineMs = this.#headDueMs();
    const seat = environment.sweep.add(this);
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.once("close", () => environment.sweep.delete(seat));
  }

  get hasLeft(): boolean {
    return this.#inputEnded || this.socket.destroyed;
  }

  get wasCut(): boolean {
    return this.#wasCut;
  }

  /** A drain began: no new tunnel. One that stands goes on, and what was refused is told so to the end. */
  drain(): void {
    if (this.#state === "handshake") this.socket.destroy();
  }

  cut(): void {
    this.#wasCut = true;
    this.socket.destroy();
  }

  onDeadline(): void {
    if (this.#state === "handshake" && !this.#handshake.isFresh) {
      this.#writeDown(new Denial("request_timeout", { cause: "no SOCKS request in time" }));
    }
    this.socket.destroy();
  }

  release(watch: boolean): Socket {
    const { socket } = this;
    this.#state = "handed_over";
    socket.pause();
    socket.off("data", this.#onData);
    socket.off("end", this.#onEnd);
    if (this.#pending !== null) socket.unshift(this.#pending);
    this.#pending = null;
    if (watch) watchSocket(socket, this.place.endsAtMs, this.#environment, () => this.cut());
    return socket;
  }

  refuseTunnel(record: ExchangeRecord, denial: Denial): void {
    this.#account.deny(record, denial);
    if (this.socket.writable) this.socket.write(socksReply(socksCodeOf(denial)), "latin1");
    this.#account.close(record);
    this.#linger();
  }

  readonly #onData = (segment: Buffer): void => {
    if (this.#state === "lingering") this.#closing.take(segment);
    if (this.#state !== "handshake") return;
    const { answer, end } = this.#handshake.take(segment);
    if (answer !== "" && this.socket.writable) this.socket.write(answer, "latin1");
    if (end?.kind === "asked") this.#ask(end);
    else if (end?.kind === "refused") {
      const code = end.isUnsupported ? "tunnel_unsupported" : "request_malformed";
      this.#writeDown(new Denial(code, { cause: `SOCKS: ${end.fault}` }));
      this.#linger();
    }
  };

  #ask({ authority, proof, rest }: Extract<SocksEnd, { kind: "asked" }>): void {
    const { listener, clientCertificate } = this.place;
    this.#state = "deciding";
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.socket.pause();
    if (rest.length > 0) this.#pending = rest;
    const record = this.#account.open("connect");
    record.method = "CONNECT";
    record.authority = authority.text;
    this.#openTunnel(this, { authority, proof: { listener, proxyAuthorization: proof, clientCertificate }, record });
  }

  /** FIN: nobody asks for a tunnel any more, or nobody is there to use it. */
  readonly #onEnd = (): void => {
    this.#inputEnded = true;
    if (this.#state !== "handshake") return;
    if (!this.#handshake.isFresh) {
      this.#writeDown(new Denial("request_malformed", { cause: "closed in the middle of the SOCKS handshake" }));
    }
    this.socket.destroy();
  };

  #writeDown(denial: Denial): void {
    const record = this.#account.open("connect");
    this.#account.deny(record, denial);
    this.#account.close(record);
  }

  #linger(): void {
    this.#state = "lingering";
    this.#pending = null;
    this.deadlineMs = this.#headDueMs();
    this.#closing.begin(this.#inputEnded);
  }

  #headDueMs(): number {
    return this.#environment.line.clock.monotonicMs() + this.#environment.timeouts.requestHeadMs;
  }
}
