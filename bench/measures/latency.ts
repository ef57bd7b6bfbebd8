import { quantile } from "../report/statistics.ts";
import { destinationHost } from "../wire/fixtures.ts";
import { type Measure, SLACK_MS } from "./measure.ts";

const REQUESTS_PER_SECOND = 200;

/** Latency at a modest fixed rate; what a contender adds is its figure less that of `direct` in the same round. */
export const fixedRate: Measure = {
  name: "latency",
  title: `latency at ${REQUESTS_PER_SECOND} requests/s, 8 connections`,
  figures: [
    { id: "latency.p50", title: "p50, ms", digits: 3 },
    { id: "latency.p99", title: "p99, ms", digits: 3 },
    { id: "latency.added-p50", title: "added p50, ms", digits: 3, compare: true, lessDirect: "latency.p50" },
    { id: "latency.added-p99", title: "added p99, ms", digits: 3, lessDirect: "latency.p99" },
  ],
  kinds: ["direct", "forward", "reverse"],
  async sample(stage, route, { warmMs, latencyMs }) {
    const taken = await stage.run<number[]>(
      {
        kind: "latency",
        route,
        host: destinationHost(0),
        connections: 8,
        requestsPerSecond: REQUESTS_PER_SECOND,
        warmMs,
        windowMs: latencyMs,
      },
      warmMs + latencyMs + SLACK_MS,
    );
    return { "latency.p50": quantile(taken, 0.5), "latency.p99": quantile(taken, 0.99) };
  },
};
