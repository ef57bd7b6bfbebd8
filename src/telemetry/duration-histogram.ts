import type { Registry } from "prom-client";
import Histogram from "prom-client/lib/histogram.js";

type Shape = Awaited<ReturnType<Histogram["get"]>>;
type Values = Shape["values"];

export interface DurationHistogramOptions {
  readonly registry: Registry;
  readonly name: string;
  readonly help: string;
  /** Upper bounds in seconds, rising. */
  readonly buckets: readonly number[];
  /** Name of the one label and its closed list of values, or `null`. */
  readonly label: { readonly name: string; readonly values: readonly string[] } | null;
}

/**
 * A histogram whose observations are two array stores, and which is rendered when somebody scrapes. The library's own
 * `observe` builds and hashes a label object each time, which costs ten times as much and happens for every exchange.
 */
export class DurationHistogram extends Histogram {
  readonly #bounds: Float64Array;
  readonly #label: DurationHistogramOptions["label"];
  /** A row a label value: one count a bucket, and the rest (+Inf). */
  readonly #counts: readonly Float64Array[];
  readonly #sums: Float64Array;

  constructor({ registry, name, help, buckets, label }: DurationHistogramOptions) {
    super({
      name,
      help,
      buckets: [...buckets],
      registers: [registry],
      labelNames: label === null ? [] : [label.name],
    });
    const rows = label === null ? 1 : label.values.length;
    this.#label = label;
    this.#bounds = Float64Array.from(buckets);
    this.#counts = Array.from({ length: rows }, () => new Float64Array(buckets.length + 1));
    this.#sums = new Float64Array(rows);
  }

  /** @param row index of the label value, 0 without a label */
  add(row: number, seconds: number): void {
    const counts = this.#counts[row];
    if (counts === undefined || !(seconds >= 0)) return;
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && seconds > (bounds[bucket] as number)) bucket++;
    (counts[bucket] as number)++;
    (this.#sums[row] as number) += seconds;
  }

  /** What the registry renders as text, and what cluster aggregation sends between processes. */
  override get(): Promise<Shape> {
    const values = this.#counts.flatMap((counts, row) => this.#rowValues(counts, row));
    // `help`, `type` and `aggregator` are there at run time; the declarations of the library leave them out.
    const { name, help, aggregator } = this as unknown as { name: string; help: string; aggregator: string };
    return Promise.resolve({ name, help, type: "histogram", values, aggregator } as unknown as Shape);
  }

  /** The registry prefers this (undeclared) method, whose original reads the library's own counts. */
  getForPromString(): Promise<Shape> {
    return this.get();
  }

  #rowValues(counts: Float64Array, row: number): Values {
    const { name } = this as unknown as { name: string };
    const labels = this.#label === null ? {} : { [this.#label.name]: this.#label.values[row] as string };
    const values: Values = [];
    let total = 0;
    counts.forEach((count, bucket) => {
      total += count;
      const le = this.#bounds[bucket] ?? "+Inf";
      values.push({ metricName: `${name}_bucket`, labels: { le, ...labels }, value: total });
    });
    values.push({ metricName: `${name}_sum`, labels, value: this.#sums[row] as number });
    values.push({ metricName: `${name}_count`, labels, value: total });
    return values;
  }
}
