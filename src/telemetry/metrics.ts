import Registry from "prom-client/lib/registry.js";
import type { ExchangeRecord } from "../core/record.ts";
import type { MeterSink } from "./account.ts";
import { ConnectionMetrics } from "./connection-metrics.ts";
import { ExchangeMetrics } from "./exchange-metrics.ts";
import { counterFamily, gaugeFamily } from "./families.ts";
import { LeaseMetrics } from "./lease-metrics.ts";
import { registerProcessMetrics } from "./process-metrics.ts";
import { type MetricSources, registerSources } from "./source-metrics.ts";

/**
 * This folder tells what happens: metrics, the log line of an exchange, and `Account`, which joins both with the audit. Label
 * values come from closed lists or from the operator's config; never from a guest, and never a host, path or session.
 */
export interface MetricsOptions {
  readonly version: string;
  /** Custody names of the config: their series exist at 0 before the first fetch. */
  readonly custodies: readonly string[];
  /** Destinations that get a label value of their own; further ones share `other`. Default 1000. */
  readonly destinationLimit?: number;
  readonly sources?: MetricSources;
  /** Metrics of the process and of Node as well. Default `true`. */
  readonly processMetrics?: boolean;
}

export class Metrics implements MeterSink {
  readonly registry = new Registry();
  /** Events of the guest side. */
  readonly guest: ConnectionMetrics["guest"];
  /** Events of the upstream pools. */
  readonly upstream: ConnectionMetrics["upstream"];
  /** Events of the lease keeper. */
  readonly keeper: LeaseMetrics["keeper"];
  readonly #exchanges: ExchangeMetrics;
  readonly #reloads = { loaded: 0, rejected: 0 };
  readonly #accountFailures = { audit: 0, log: 0, metrics: 0 };

  constructor(options: MetricsOptions) {
    const { registry } = this;
    this.#exchanges = new ExchangeMetrics(registry, options.destinationLimit ?? 1000);
    const connections = new ConnectionMetrics(registry);
    this.guest = connections.guest;
    this.upstream = connections.upstream;
    this.keeper = new LeaseMetrics(registry, options.custodies).keeper;
    counterFamily(registry, {
      name: "postern_policy_reloads_total",
      help: "Policies that were read, by result (loaded, rejected).",
      labels: ["result"],
      read: () => Object.entries(this.#reloads).map(([result, count]) => [{ result }, count]),
    });
    counterFamily(registry, {
      name: "postern_account_failures_total",
      help: "Exchanges that one part of the account (audit, log, metrics) threw at; must stay 0.",
      labels: ["part"],
      read: () => Object.entries(this.#accountFailures).map(([part, count]) => [{ part }, count]),
    });
    registerSources(registry, options.sources ?? {});
    gaugeFamily(registry, {
      name: "postern_build_info",
      help: "Which build runs; always 1.",
      labels: ["version", "node"],
      read: () => [[{ version: options.version, node: process.version }, 1]],
    });
    if (options.processMetrics ?? true) registerProcessMetrics(registry);
  }

  exchange(record: ExchangeRecord): void {
    this.#exchanges.add(record);
  }

  policyReloaded(taken: boolean): void {
    this.#reloads[taken ? "loaded" : "rejected"]++;
  }

  accountFailed(part: "audit" | "log" | "metrics"): void {
    this.#accountFailures[part]++;
  }

  /** The exposition, text format 0.0.4. */
  text(): Promise<string> {
    return this.registry.metrics();
  }

  get contentType(): string {
    return this.registry.contentType;
  }
}
