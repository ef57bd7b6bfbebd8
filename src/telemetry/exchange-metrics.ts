import type { Registry } from "prom-client";
import { DENIAL_CODES, DENIALS } from "../core/denial.ts";
import type { ExchangeKind, ExchangeRecord, Outcome } from "../core/record.ts";
import { DurationHistogram } from "./duration-histogram.ts";
import { ExchangeCells } from "./exchange-cells.ts";
import { counterFamily, only, type Series } from "./families.ts";

const KINDS: readonly ExchangeKind[] = ["http", "connect", "tunnel", "upgrade", "connection"];
const KIND_ROWS = Object.fromEntries(KINDS.map((kind, row) => [kind, row])) as Record<ExchangeKind, number>;

/** An exchange takes milliseconds, a tunnel hours. */
const DURATION_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600, 3600];
const FIRST_BYTE_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];

/** What is counted of each exchange. `add` is on the hot path: additions to plain numbers, no label is touched. */
export class ExchangeMetrics {
  readonly #cells: ExchangeCells;
  readonly #durations: DurationHistogram;
  readonly #firstBytes: DurationHistogram;
  readonly #outcomes: Record<Outcome, number> = {
    completed: 0,
    denied: 0,
    guest_aborted: 0,
    upstream_aborted: 0,
    edge_aborted: 0,
  };
  #bytesFromGuest = 0;
  #bytesToGuest = 0;
  #injected = 0;
  #masked = 0;
  #retried = 0;

  /** @param destinationLimit destinations that get a label value of their own */
  constructor(registry: Registry, destinationLimit: number) {
    this.#cells = new ExchangeCells(destinationLimit);
    this.#registerCounters(registry);
    this.#durations = new DurationHistogram({
      registry,
      name: "postern_exchange_duration_seconds",
      help: "From the first line of an exchange to its end; a tunnel lasts until it is closed.",
      buckets: DURATION_SECONDS,
      label: { name: "kind", values: KINDS },
    });
    this.#firstBytes = new DurationHistogram({
      registry,
      name: "postern_exchange_first_byte_seconds",
      help: "From the first line of an exchange to the first byte of the upstream's answer.",
      buckets: FIRST_BYTE_SECONDS,
      label: null,
    });
  }

  add(record: ExchangeRecord): void {
    this.#cells.add(record);
    this.#outcomes[record.outcome]++;
    this.#durations.add(KIND_ROWS[record.kind], (record.endedMs - record.startedMs) / 1000);
    if (record.firstByteMs !== 0) this.#firstBytes.add(0, (record.firstByteMs - record.startedMs) / 1000);
    this.#bytesFromGuest += record.bytesFromGuest;
    this.#bytesToGuest += record.bytesToGuest;
    this.#masked += record.masked;
    if (record.injected) this.#injected++;
    if (record.retried) this.#retried++;
  }

  #registerCounters(registry: Registry): void {
    counterFamily(registry, {
      name: "postern_exchanges_total",
      help: "Exchanges by destination, decision (allow, deny, report) and denial code.",
      labels: ["destination", "decision", "code"],
      read: () => this.#exchanges(),
    });
    counterFamily(registry, {
      name: "postern_denials_total",
      help: "Denials by stage of the line and code, whatever the destination.",
      labels: ["stage", "code"],
      read: () => this.#denials(),
    });
    counterFamily(registry, {
      name: "postern_would_deny_total",
      help: "Exchanges that report mode let through, by destination and the code that enforcing would have given.",
      labels: ["destination", "code"],
      read: () => this.#wouldDeny(),
    });
    counterFamily(registry, {
      name: "postern_exchange_outcomes_total",
      help: "Exchanges by how they ended.",
      labels: ["outcome"],
      read: () => Object.entries(this.#outcomes).map(([outcome, count]) => [{ outcome }, count]),
    });
    counterFamily(registry, {
      name: "postern_body_bytes_total",
      help: "Body bytes relayed, and all bytes of tunnels and upgraded streams that have ended.",
      labels: ["direction"],
      read: () => [
        [{ direction: "from_guest" }, this.#bytesFromGuest],
        [{ direction: "to_guest" }, this.#bytesToGuest],
      ],
    });
    counterFamily(registry, {
      name: "postern_injections_total",
      help: "Exchanges that were sent with a credential attached.",
      read: () => only(this.#injected),
    });
    counterFamily(registry, {
      name: "postern_masked_total",
      help: "Copies of injected material that were masked in answers.",
      read: () => only(this.#masked),
    });
    counterFamily(registry, {
      name: "postern_exchange_retries_total",
      help: "Exchanges that were tried again (after 401, a stale connection, a lease that ended ahead of it, or where the upstream did not look at it).",
      read: () => only(this.#retried),
    });
  }

  *#exchanges(): Generator<Series> {
    for (const { destination, decision, code, count } of this.#cells.counts())
      yield [{ destination, decision, code }, count];
  }

  *#denials(): Generator<Series> {
    for (const [index, code] of DENIAL_CODES.entries())
      yield [{ stage: DENIALS[code].stage, code }, this.#cells.denials[index] as number];
  }

  *#wouldDeny(): Generator<Series> {
    for (const { destination, decision, code, count } of this.#cells.counts())
      if (decision === "report") yield [{ destination, code }, count];
  }
}
