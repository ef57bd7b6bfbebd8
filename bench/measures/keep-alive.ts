import type { Tally } from "../load/window.ts";
import { destinationHost, PLAIN_HOST } from "../wire/fixtures.ts";
import { type Measure, SLACK_MS } from "./measure.ts";
import { cpuPer, loadCorePercent, perSecond } from "./per.ts";

/** Requests on open connections, credential attached: in a tunnel with 1, 16 and 64 of them, and over plain HTTP. */
export const keepAliveMeasures: readonly Measure[] = [
  keepAlive("keepalive-1", "keep-alive, 1 connection", 1, false),
  keepAlive("keepalive-16", "keep-alive, 16 connections", 16, false),
  keepAlive("keepalive-64", "keep-alive, 64 connections", 64, false),
  keepAlive("plain", "plain http:// forward, 16 connections", 16, true),
];

function keepAlive(name: string, title: string, connections: number, plain: boolean): Measure {
  return {
    name,
    title,
    figures: [
      { id: `${name}.cpu`, title: "CPU-s per 10,000 requests", digits: 2, compare: true },
      { id: `${name}.rate`, title: "requests/s", digits: 0 },
      { id: `${name}.load`, title: "load core busy, %", digits: 0 },
    ],
    kinds: plain ? ["direct", "forward"] : ["direct", "forward", "reverse"],
    async sample(stage, route, { warmMs, windowMs }) {
      const host = plain ? PLAIN_HOST : destinationHost(0);
      const { upstreamPid } = stage;
      const tally = await stage.run<Tally>(
        { kind: "keepalive", route, upstreamPid, host, plain, connections, warmMs, windowMs },
        warmMs + windowMs + SLACK_MS,
      );
      return {
        [`${name}.cpu`]: cpuPer(tally, 10_000),
        [`${name}.rate`]: perSecond(tally),
        [`${name}.load`]: loadCorePercent(tally),
      };
    },
  };
}
