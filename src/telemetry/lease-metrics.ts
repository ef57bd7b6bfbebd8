import type { Registry } from "prom-client";
import type { Denial } from "../core/denial.ts";
import { DurationHistogram } from "./duration-histogram.ts";
import { counterFamily, gaugeFamily, type Series } from "./families.ts";

/** Series that exist at 0 before anything happened, so that rates and alerts see the first failure. */
const RESULTS = ["granted", "custody_unavailable", "lease_denied", "lease_unusable"] as const;
const WAIT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2];

/** Lease fetches by custody; `keeper` is handed to the lease keeper. Custody names come from the config. */
export class LeaseMetrics {
  readonly #fetches = new Map<string, Map<string, number>>();
  readonly #breakers = new Map<string, boolean>();
  readonly #rejected = new Map<string, number>();
  readonly #revoked = new Map<string, number>();
  readonly #waits: DurationHistogram;

  readonly keeper = {
    granted: (custody: string, waitMs: number): void => {
      this.#count(custody, "granted");
      this.#waits.add(0, waitMs / 1000);
    },
    failed: (custody: string, denial: Denial): void => {
      this.#count(custody, denial.code);
    },
    breaker: (custody: string, open: boolean): void => {
      this.#breakers.set(custody, open);
    },
    revoked: (custody: string, leases: number): void => {
      this.#revoked.set(custody, (this.#revoked.get(custody) ?? 0) + leases);
    },
    rejected: (custody: string): void => {
      this.#rejected.set(custody, (this.#rejected.get(custody) ?? 0) + 1);
    },
  };

  constructor(registry: Registry, custodies: readonly string[]) {
    for (const custody of custodies) {
      this.#fetches.set(custody, new Map(RESULTS.map((result) => [result, 0])));
      this.#breakers.set(custody, false);
      this.#rejected.set(custody, 0);
      this.#revoked.set(custody, 0);
    }
    counterFamily(registry, {
      name: "postern_lease_fetches_total",
      help: "Leases asked of custody, by custody and result (granted, or the denial code).",
      labels: ["custody", "result"],
      read: () => this.#fetchSeries(),
    });
    counterFamily(registry, {
      name: "postern_lease_rejections_total",
      help: "Leases whose credential an upstream answered with 401, or a parent with 407.",
      labels: ["custody"],
      read: () => [...this.#rejected].map(([custody, count]) => [{ custody }, count]),
    });
    counterFamily(registry, {
      name: "postern_leases_revoked_total",
      help: "Leases that were dropped because their custody revoked them, or could not tell what it had revoked.",
      labels: ["custody"],
      read: () => [...this.#revoked].map(([custody, count]) => [{ custody }, count]),
    });
    gaugeFamily(registry, {
      name: "postern_custody_breaker_open",
      help: "1 while custody is not asked, after failures in a row.",
      labels: ["custody"],
      read: () => [...this.#breakers].map(([custody, open]) => [{ custody }, open ? 1 : 0]),
    });
    this.#waits = new DurationHistogram({
      registry,
      name: "postern_lease_fetch_duration_seconds",
      help: "How long custody took for a lease that it granted.",
      buckets: WAIT_SECONDS,
      label: null,
    });
  }

  #count(custody: string, result: string): void {
    let results = this.#fetches.get(custody);
    if (results === undefined) this.#fetches.set(custody, (results = new Map()));
    results.set(result, (results.get(result) ?? 0) + 1);
  }

  *#fetchSeries(): Generator<Series> {
    for (const [custody, results] of this.#fetches)
      for (const [result, count] of results) yield [{ custody, result }, count];
  }
}
