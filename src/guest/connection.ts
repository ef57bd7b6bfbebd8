import type { Socket } from "node:net";
import type { Authority } from "../core/authority.ts";
import type { Deadlined } from "../core/deadline.ts";
import { Denial } from "../core/denial.ts";
import type { ExchangeKind, ExchangeRecord } from "../core/record.ts";
import type { RawStream, SessionProof } from "../core/wire.ts";
import type { Batch } from "../http1/batch.ts";
import { requestControl } from "../http1/framing.ts";
import { Http1Error } from "../http1/grammar.ts";
import { scanRequestHead } from "../http1/head.ts";
import { runExchange } from "../line/exchange.ts";
import type { GuestEnvironment } from "./environment.ts";
import { type ExchangeOwner, Http1GuestExchange } from "./exchange.ts";
import { openRecord } from "./record.ts";
import { refusalText } from "./refusal.ts";
import { type BodyOwner, Http1RequestBody } from "./request-body.ts";
import { readRequest, type ReadRequest } from "./request.ts";
import { GUEST_STATES, type GuestState } from "./states.ts";
import { watchTunnel } from "./tunnel-watch.ts";

/** Where a guest connection stands: on the listener, or inside a tunnel whose authority was fixed by CONNECT. */
export interface ConnectionPlace {
  readonly listener: string;
  /** Guest address as the accepted socket says. */
  readonly guest: string;
  readonly tunnel: TunnelPlace | null;
  /** Monotonic ms at which the connection ends whatever happens. */
  readonly endsAtMs: number;
}

export interface TunnelPlace {
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  /** Proof that came with the CONNECT. */
  readonly proof: SessionProof;
  /** Why nothing inside may pass: the TLS hello named no server or another one. */
  readonly refusal: "sni_missing" | "sni_mismatch" | null;
}

/** Takes a CONNECT over: from here on the socket is its own. */
export type TunnelOpener = (connection: GuestConnection, request: ConnectRequest) => void;

export interface ConnectRequest {
  readonly authority: Authority;
  readonly proof: SessionProof;
  readonly record: ExchangeRecord;
}

/** Bytes that are thrown away from a guest that was answered and still sends. */
const LINGER_BYTES = 1_048_576;

/**
 * One HTTP/1.1 connection of a guest: reads heads, runs one exchange at a time through the line, answers in order. What does
 * not fit the grammar is refused and the connection closed.
 */
export class GuestConnection implements ExchangeOwner, BodyOwner, Deadlined {
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly socket: Socket;
  readonly place: ConnectionPlace;
  readonly #environment: GuestEnvironment;
  readonly #openTunnel: TunnelOpener | null;
  #state: GuestState = "fresh";
  #pending: Buffer | null = null;
  #exchange: Http1GuestExchange | null = null;
  #lingered = 0;
  #inputEnded = false;

  /** @param openTunnel what to do with CONNECT; `null` where no tunnel may begin (inside a tunnel) */
  constructor(socket: Socket, place: ConnectionPlace, environment: GuestEnvironment, openTunnel: TunnelOpener | null) {
    this.socket = socket;
    this.place = place;
    this.#environment = environment;
    this.#openTunnel = openTunnel;
    socket.on("data", this.#onData);
    socket.on("drain", this.#onDrain);
    socket.on("end", this.#onEnd);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
    environment.sweep.add(this);
    this.#renewDeadline();
  }

  get isDraining(): boolean {
    return this.#environment.isDraining();
  }

  wallMs(): number {
    return this.#environment.line.clock.wallMs();
  }

  /** Between requests: a drain may close it at once. */
  get isIdle(): boolean {
    return this.#state === "fresh" || this.#state === "idle";
  }

  destroy(): void {
    this.socket.destroy();
  }

  // --- reading -------------------------------------------------------------------------------------------------------

  /** Bytes of the guest; also called for those that another reader had taken before this connection was made. */
  readonly #onData = (segment: Buffer): void => {
    try {
      this.#take(segment);
    } catch (thrown) {
      this.#fault(thrown);
    }
  };

  #take(segment: Buffer): void {
    const exchange = this.#exchange;
    if (exchange !== null) {
      if (exchange.body.done) this.#keep(segment);
      else {
        if (this.#state === "awaiting_continue") this.#enter("relaying_body");
        else this.#renewDeadline();
        exchange.body.feed(segment);
      }
      return;
    }
    if (this.#state === "lingering") {
      this.#lingered += segment.length;
      if (this.#lingered > LINGER_BYTES) this.socket.destroy();
      return;
    }
    if (this.#state === "closed") return;
    this.#read(this.#pending === null ? segment : Buffer.concat([this.#pending, segment]));
  }

  /** A fault of the edge itself costs this guest its connection, nobody else anything. */
  #fault(thrown: unknown): void {
    const record = this.#exchange?.record ?? this.#record("http");
    record.denial = "internal";
    record.detail = Denial.from(thrown).detail;
    record.outcome = "edge_aborted";
    if (this.#exchange === null) this.#account(record);
    this.socket.destroy();
  }

  /** FIN from the guest. */
  readonly #onEnd = (): void => {
    this.#inputEnded = true;
    const exchange = this.#exchange;
    if (exchange === null) {
      this.socket.end();
      return;
    }
    // A plain TCP client may close its sending side and wait for the answer; over TLS a close_notify means it has left.
    const halfClosed = exchange.body.done && !isTls(this.socket);
    if (!halfClosed) this.socket.destroy();
  };

  readonly #onError = (): void => {
    // `close` follows every error; what there is to do is done there.
  };

  readonly #onClose = (): void => {
    if (this.#state === "handed_over" || this.#state === "closed") return;
    this.#enter("closed");
    this.#environment.sweep.delete(this);
    this.#pending = null;
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.abort();
  };

  /** The message could not be read: refuse it, close the connection. */
  #refuseUnread(thrown: unknown): void {
    const record = this.#record("http");
    this.#writeRefusal(record, grammarDenial(thrown), false);
    this.#account(record);
    this.#linger();
  }

  #writeRefusal(record: ExchangeRecord, denial: Denial, headOnly: boolean): void {
    record.denial = denial.code;
    record.detail = denial.detail;
    record.status = denial.entry.status;
    if (this.socket.destroyed) return;
    const options = { correlationId: record.id, headOnly, close: true, nowMs: this.wallMs() };
    this.socket.write(refusalText(denial, options), "latin1");
  }

  #account(record: ExchangeRecord): void {
    record.endedMs = this.#now();
    this.#environment.line.account.close(record);
  }

  /** Answered and closing (RFC 9112 §9.6): sends FIN, reads a little longer so that no reset overtakes the answer. */
  #linger(): void {
    if (this.#state === "closed") return;
    this.#exchange = null;
    this.#pending = null;
    if (this.#state !== "lingering") this.#enter("lingering");
    this.socket.end();
    if (this.#inputEnded) this.socket.destroySoon();
    else this.socket.resume();
  }

  #record(kind: ExchangeKind): ExchangeRecord {
    const { line, nextId } = this.#environment;
    return openRecord(line.clock, nextId(), kind, this.place.listener, this.place.guest);
  }

  #now(): number {
    return this.#environment.line.clock.monotonicMs();
  }

  #enter(next: GuestState): void {
    if (!GUEST_STATES[this.#state].next.includes(next)) {
      throw new Error(`guest connection: ${this.#state} -> ${next} is not in the table`);
    }
    this.#state = next;
    this.#renewDeadline();
  }

  #renewDeadline(): void {
    const { timeout } = GUEST_STATES[this.#state];
    const state = timeout === null ? Number.POSITIVE_INFINITY : this.#now() + this.#environment.timeouts[timeout];
    this.deadlineMs = Math.min(state, this.place.endsAtMs);
  }
}

function isTls(socket: Socket): boolean {
  return "encrypted" in socket;
}

const NONE_ANNOUNCED: readonly string[] = [];

function pathOf(target: string): string {
  const query = target.indexOf("?");
  return query < 0 ? target : target.slice(0, query);
}

function grammarDenial(thrown: unknown): Denial {
  if (!(thrown instanceof Http1Error)) return Denial.from(thrown);
  if (thrown.rule === "expectation") return new Denial("expectation_unsupported", { cause: thrown });
  return new Denial(thrown.isLimit ? "header_limit" : "request_malformed", { cause: thrown });
}
