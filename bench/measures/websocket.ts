import type { Tally } from "../load/window.ts";
import { quantile } from "../report/statistics.ts";
import { LIVE_HOST } from "../wire/fixtures.ts";
import { type Measure, SLACK_MS } from "./measure.ts";
import { cpuPer, loadCorePercent, perSecond } from "./per.ts";

const CONNECTIONS = 16;
const IN_FLIGHT = 8;

/** Messages of 64 bytes that an upstream echoes: many at once, then one at a time on one connection. */
export const websocket: Measure = {
  name: "websocket",
  title: `WebSocket, ${CONNECTIONS} connections with ${IN_FLIGHT} messages each; one message at a time`,
  figures: [
    { id: "websocket.cpu", title: "CPU-s per 10,000 messages", digits: 2, compare: true },
    { id: "websocket.rate", title: "messages/s", digits: 0 },
    { id: "websocket.load", title: "load core busy, %", digits: 0 },
    { id: "websocket.p50", title: "one at a time: p50, ms", digits: 3 },
    { id: "websocket.p99", title: "one at a time: p99, ms", digits: 3 },
    { id: "websocket.added-p50", title: "added p50, ms", digits: 3, compare: true, lessDirect: "websocket.p50" },
    { id: "websocket.added-p99", title: "added p99, ms", digits: 3, lessDirect: "websocket.p99" },
  ],
  kinds: ["direct", "forward", "reverse"],
  async sample(stage, route, { warmMs, windowMs }) {
    const { upstreamPid } = stage;
    const load = { route, host: LIVE_HOST, warmMs, windowMs };
    const deadlineMs = warmMs + windowMs + SLACK_MS;
    const tally = await stage.run<Tally>(
      { kind: "messages", ...load, upstreamPid, connections: CONNECTIONS, inFlight: IN_FLIGHT },
      deadlineMs,
    );
    const takenMs = await stage.run<number[]>({ kind: "ping-pong", ...load }, deadlineMs);
    return {
      "websocket.cpu": cpuPer(tally, 10_000),
      "websocket.rate": perSecond(tally),
      "websocket.load": loadCorePercent(tally),
      "websocket.p50": quantile(takenMs, 0.5),
      "websocket.p99": quantile(takenMs, 0.99),
    };
  },
};
