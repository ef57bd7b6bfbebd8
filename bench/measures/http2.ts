import type { Http2Job } from "../load/http2.ts";
import type { Route } from "../load/route.ts";
import type { Tally } from "../load/window.ts";
import { destinationHost, HTTP2_HOST } from "../wire/fixtures.ts";
import { type Measure, NOT_SPOKEN, SLACK_MS } from "./measure.ts";
import { cpuPer, loadCorePercent, perSecond } from "./per.ts";

const STREAMS = 64;

/**
 * HTTP/2 from the guest, on one connection: translated to an upstream that speaks HTTP/1.1, and end to end. Without a proxy
 * nobody translates: `direct` asks the HTTP/2 upstream in each of them.
 */
export const http2Measures: readonly Measure[] = [
  http2("h2-keepalive", `HTTP/2 to HTTP/1.1, ${STREAMS} streams`, "requests", (route) =>
    route.kind === "direct"
      ? endToEnd(route)
      : { host: destinationHost(0), port: route.upstream.tlsPort, call: "json" },
  ),
  http2("h2-upstream", `HTTP/2 end to end, ${STREAMS} streams`, "requests", endToEnd),
  http2("grpc-unary", `gRPC unary, ${STREAMS} streams`, "calls", (route) => ({ ...endToEnd(route), call: "grpc" })),
];

type Asked = Pick<Http2Job, "host" | "port" | "call">;

function endToEnd(route: Route): Asked {
  return { host: HTTP2_HOST, port: route.upstream.http2Port, call: "json" };
}

function http2(name: string, title: string, what: string, asked: (route: Route) => Asked): Measure {
  return {
    name,
    title,
    figures: [
      { id: `${name}.cpu`, title: `CPU-s per 10,000 ${what}`, digits: 2, compare: true },
      { id: `${name}.rate`, title: `${what}/s`, digits: 0 },
      { id: `${name}.load`, title: "load core busy, %", digits: 0 },
    ],
    kinds: ["direct", "forward", "reverse"],
    async sample(stage, route, { warmMs, windowMs }) {
      const { upstreamPid } = stage;
      const tally = await stage.run<Tally | null>(
        { kind: "http2", route, upstreamPid, ...asked(route), streams: STREAMS, warmMs, windowMs },
        warmMs + windowMs + SLACK_MS,
      );
      if (tally === null) return NOT_SPOKEN;
      return {
        [`${name}.cpu`]: cpuPer(tally, 10_000),
        [`${name}.rate`]: perSecond(tally),
        [`${name}.load`]: loadCorePercent(tally),
      };
    },
  };
}
