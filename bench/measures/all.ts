import { bulkMeasures } from "./bulk.ts";
import { deniedConnects } from "./denials.ts";
import { keepAliveMeasures } from "./keep-alive.ts";
import { serverSentEvents } from "./events.ts";
import { http2Measures } from "./http2.ts";
import { fixedRate } from "./latency.ts";
import type { Measure } from "./measure.ts";
import { passThrough } from "./opaque.ts";
import { firstHit, newTunnels } from "./tunnels.ts";
import { websocket } from "./websocket.ts";

/** What every round measures, in order. */
export const measures: readonly Measure[] = [
  ...keepAliveMeasures,
  newTunnels,
  firstHit,
  ...bulkMeasures,
  deniedConnects,
  fixedRate,
  ...http2Measures,
  websocket,
  serverSentEvents,
  passThrough,
];
