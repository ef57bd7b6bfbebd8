import { bulkMeasures } from "./bulk.ts";
import { deniedConnects } from "./denials.ts";
import { keepAliveMeasures } from "./keep-alive.ts";
import { fixedRate } from "./latency.ts";
import type { Measure } from "./measure.ts";
import { firstHit, newTunnels } from "./tunnels.ts";

/** What every round measures, in order. */
export const measures: readonly Measure[] = [
  ...keepAliveMeasures,
  newTunnels,
  firstHit,
  ...bulkMeasures,
  deniedConnects,
  fixedRate,
];
