import type { Tally } from "../load/window.ts";
import { destinationHost } from "../wire/fixtures.ts";
import { type Measure, SLACK_MS } from "./measure.ts";
import { cpuPer, perSecond } from "./per.ts";

/** 100 MB through a tunnel, both ways. */
export const bulkMeasures: readonly Measure[] = [bulk("download"), bulk("upload")];

function bulk(direction: "download" | "upload"): Measure {
  return {
    name: direction,
    title: `100 MB ${direction}`,
    figures: [
      { id: `${direction}.cpu`, title: "CPU-s per GB", digits: 2, compare: true },
      { id: `${direction}.rate`, title: "MB/s", digits: 0 },
    ],
    kinds: ["direct", "forward", "reverse"],
    async sample(stage, route, { bulkTimes }) {
      const { upstreamPid } = stage;
      const host = destinationHost(0);
      const tally = await stage.run<Tally>(
        { kind: "bulk", direction, route, upstreamPid, host, times: bulkTimes },
        bulkTimes * 10_000 + SLACK_MS,
      );
      return { [`${direction}.cpu`]: cpuPer(tally, 1e9), [`${direction}.rate`]: perSecond(tally) / 1e6 };
    },
  };
}
