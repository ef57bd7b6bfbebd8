import type { Registry } from "prom-client";
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";

/** One series of a family: its label values and what it stands at. */
export type Series = readonly [labels: Readonly<Record<string, string>>, value: number];

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
  /** Read at each scrape. */
  readonly read: () => Iterable<Series>;
}

/** A counter that is kept elsewhere as a plain number, so that counting costs an addition; rendered at each scrape. */
export function counterFamily(registry: Registry, { name, help, labels = [], read }: Family): void {
  // The registry keeps what registers itself; nothing else refers to it.
  void new Counter({
    name,
    help,
    labelNames: [...labels],
    registers: [registry],
    collect() {
      this.reset();
      for (const [values, count] of read()) this.inc(values, count);
    },
  });
}

/** A gauge that is read at each scrape. */
export function gaugeFamily(registry: Registry, { name, help, labels = [], read }: Family): void {
  void new Gauge({
    name,
    help,
    labelNames: [...labels],
    registers: [registry],
    collect() {
      this.reset();
      for (const [values, value] of read()) this.set(values, value);
    },
  });
}

/** The one series of a family without labels. */
export function only(value: number): readonly Series[] {
  return [[{}, value]];
}
