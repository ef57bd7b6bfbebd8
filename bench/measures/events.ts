import { quantile } from "../report/statistics.ts";
import { EVENTS_PER_SECOND } from "../wire/events.ts";
import { LIVE_HOST } from "../wire/fixtures.ts";
import { type Measure, SLACK_MS } from "./measure.ts";

const STREAMS = 100;
/** Opening one stream, handshakes included, with the slowest contender. */
const OPEN_MS = 200;

/** How long a server-sent event is under way, from the upstream's write to the guest, while many streams are open. */
export const serverSentEvents: Measure = {
  name: "sse",
  title: `server-sent events, ${STREAMS} streams with ${EVENTS_PER_SECOND} a second each`,
  figures: [
    { id: "sse.p50", title: "p50, ms", digits: 3 },
    { id: "sse.p99", title: "p99, ms", digits: 3 },
    { id: "sse.added-p50", title: "added p50, ms", digits: 3, compare: true, lessDirect: "sse.p50" },
    { id: "sse.added-p99", title: "added p99, ms", digits: 3, lessDirect: "sse.p99" },
  ],
  kinds: ["direct", "forward", "reverse"],
  async sample(stage, route, { warmMs, latencyMs }) {
    const delaysMs = await stage.run<number[]>(
      { kind: "events", route, host: LIVE_HOST, streams: STREAMS, warmMs, windowMs: latencyMs },
      STREAMS * OPEN_MS + warmMs + latencyMs + SLACK_MS,
    );
    // Each stream gets its events, or the upstream was kept from sending.
    const due = (STREAMS * EVENTS_PER_SECOND * latencyMs) / 1000;
    if (delaysMs.length < due / 2) throw new Error(`${delaysMs.length} events came instead of ${due}`);
    return { "sse.p50": quantile(delaysMs, 0.5), "sse.p99": quantile(delaysMs, 0.99) };
  },
};
