import type { Tally } from "../load/window.ts";
import { OPAQUE_HOST } from "../wire/fixtures.ts";
import { type Measure, SLACK_MS } from "./measure.ts";
import { cpuPer, loadCorePercent, perSecond } from "./per.ts";

/** Bytes that nobody looks at, behind a TLS hello. */
export const passThrough: Measure = {
  name: "pass-through",
  title: "pass-through, 100 MB after 100 MB",
  figures: [
    { id: "pass-through.rate", title: "MB/s", digits: 0, compare: true },
    { id: "pass-through.cpu", title: "CPU-s per GB", digits: 2, compare: true },
    { id: "pass-through.load", title: "load core busy, %", digits: 0 },
  ],
  kinds: ["direct", "forward", "relay"],
  async sample(stage, route, { passThroughTimes: times }) {
    const { upstreamPid } = stage;
    const tally = await stage.run<Tally>(
      { kind: "opaque", route, upstreamPid, host: OPAQUE_HOST, times },
      times * 10_000 + SLACK_MS,
    );
    return {
      "pass-through.rate": perSecond(tally) / 1e6,
      "pass-through.cpu": cpuPer(tally, 1e9),
      "pass-through.load": loadCorePercent(tally),
    };
  },
};
