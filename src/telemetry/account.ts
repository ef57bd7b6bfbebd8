import type { JsonBytes } from "../core/json-bytes.ts";
import { intentMembers, recordMembers } from "../core/record-json.ts";
import type { AccountPort } from "../core/ports.ts";
import type { ExchangeRecord } from "../core/record.ts";

/** What the account asks of the audit trail (`src/audit/`). */
export interface AuditSink {
  /** Digest that stands for a session id in audit and log; "" for none. */
  sessionMark(tenant: string, session: string): string;
  /**
   * Before the first upstream byte of an exchange with a credential.
   * @param members JSON members made by `intentMembers`
   * @returns a promise to wait for in strict mode; it rejects with Denial `audit_unavailable`
   */
  intent(members: () => string): void | Promise<void>;
  /** @param members made by `recordMembers`, to be copied. Never throws: what cannot be kept is counted as lost. */
  outcome(members: JsonBytes): void;
}

/** One canonical log line an exchange. */
export interface LogSink {
  /** @param members made by `recordMembers`, to be copied */
  exchange(members: JsonBytes, refused: boolean): void;
}

/** Metrics of one exchange. */
export interface MeterSink {
  exchange(record: ExchangeRecord): void;
}

export type AccountPart = "audit" | "log" | "metrics";

export interface AccountOptions {
  readonly audit: AuditSink;
  /** `null`: no line an exchange. */
  readonly log: LogSink | null;
  readonly metrics: MeterSink;
  /** Told when a part threw; it must not throw itself. */
  readonly onFailure: (part: AccountPart, error: unknown) => void;
}

/**
 * Records of ended exchanges gather so long, or up to so many, before audit and log get them: written down one right after the
 * other they cost half of what each costs between two requests, when code and tables have to be fetched into the caches anew.
 */
const GATHER_MS = 10;
const GATHER_RECORDS = 256;

/**
 * Writes down what happened, three times: audit, log line, metrics. Audit and log say the same members, rendered once. A part
 * that fails does not stop the others, and `close` never throws.
 */
export class Account implements AccountPort {
  readonly #audit: AuditSink;
  readonly #log: LogSink | null;
  readonly #metrics: MeterSink;
  readonly #onFailure: AccountOptions["onFailure"];
  #ended: ExchangeRecord[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(options: AccountOptions) {
    this.#audit = options.audit;
    this.#log = options.log;
    this.#metrics = options.metrics;
    this.#onFailure = options.onFailure;
  }

  /** @throws Denial `audit_unavailable`, as a rejected promise, when the audit is strict and cannot be written */
  admit(record: ExchangeRecord): void | Promise<void> {
    return this.#audit.intent(() => intentMembers(record, this.#mark(record)));
  }

  /** @param record of an exchange that is over: nobody changes it any more */
  close(record: ExchangeRecord): void {
    try {
      this.#metrics.exchange(record);
    } catch (error) {
      this.#onFailure("metrics", error);
    }
    this.#ended.push(record);
    if (this.#ended.length >= GATHER_RECORDS) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), GATHER_MS);
  }

  /** Hands what was gathered to audit and log; to be called before they are closed. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const ended = this.#ended;
    this.#ended = [];
    for (const record of ended) this.#writeDown(record);
  }

  #writeDown(record: ExchangeRecord): void {
    let members: JsonBytes | null = null;
    try {
      members = recordMembers(record, this.#mark(record));
      this.#audit.outcome(members);
    } catch (error) {
      this.#onFailure("audit", error);
    }
    if (this.#log === null || members === null) return;
    try {
      this.#log.exchange(members, record.denial !== null);
    } catch (error) {
      this.#onFailure("log", error);
    }
  }

  #mark(record: ExchangeRecord): string {
    return record.session === "" ? "" : this.#audit.sessionMark(record.tenant, record.session);
  }
}
