import type { Socket } from "node:net";
import type { Denial } from "../core/denial.ts";
import type { ExchangeKind, ExchangeRecord } from "../core/record.ts";
import type { GuestEnvironment } from "./environment.ts";
import type { Http1GuestExchange } from "./exchange.ts";
import type { ConnectionPlace } from "./place.ts";
import { openRecord } from "./record.ts";
import { refusalText } from "./refusal.ts";

/** Opens and closes the records of one guest connection, and words its refusals. */
export class ConnectionAccount {
  readonly #environment: GuestEnvironment;
  readonly #place: ConnectionPlace;

  constructor(environment: GuestEnvironment, place: ConnectionPlace) {
    this.#environment = environment;
    this.#place = place;
  }

  open(kind: ExchangeKind): ExchangeRecord {
    const { line, nextId } = this.#environment;
    return openRecord(line.clock, nextId(), kind, this.#place.listener, this.#place.guest);
  }

  close(record: ExchangeRecord): void {
    record.endedMs = this.#environment.line.clock.monotonicMs();
    this.#environment.line.account.close(record);
  }

  /** Writes `denial` down, without an answer. */
  deny(record: ExchangeRecord, denial: Denial): void {
    record.denial = denial.code;
    record.detail = denial.detail;
    record.status = denial.entry.status;
  }

  /** Answers a request that was read with `denial`, closes its record. */
  refuseExchange(exchange: Http1GuestExchange, denial: Denial): void {
    this.deny(exchange.record, denial);
    exchange.refuse(denial);
    this.close(exchange.record);
  }

  /** Answers with `denial`, closes the record; the connection is to be closed by its owner. */
  refuse(socket: Socket, record: ExchangeRecord, denial: Denial): void {
    this.deny(record, denial);
    if (socket.writable) {
      const nowMs = this.#environment.line.clock.wallMs();
      socket.write(refusalText(denial, { correlationId: record.id, headOnly: false, close: true, nowMs }), "latin1");
    }
    this.close(record);
  }
}
