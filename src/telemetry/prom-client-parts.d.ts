/** Parts of prom-client that are imported by themselves; its declarations cover the package as a whole only. */

declare module "prom-client/lib/registry.js" {
  import { Registry } from "prom-client";
  export default Registry;
}

declare module "prom-client/lib/counter.js" {
  import { Counter } from "prom-client";
  export default Counter;
}

declare module "prom-client/lib/gauge.js" {
  import { Gauge } from "prom-client";
  export default Gauge;
}

declare module "prom-client/lib/histogram.js" {
  import { Histogram } from "prom-client";
  export default Histogram;
}

/** One of the files that `collectDefaultMetrics` calls one after the other. */
declare module "prom-client/lib/metrics/*.js" {
  import type { Registry } from "prom-client";
  export default function register(registry: Registry, config: { readonly eventLoopMonitoringPrecision: number }): void;
}
