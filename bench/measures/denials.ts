import type { Tally } from "../load/window.ts";
import { type Measure, SLACK_MS } from "./measure.ts";
import { cpuPer, loadCorePercent, perSecond } from "./per.ts";

/** CONNECTs to a name that is not on the list, each on a connection of its own. */
export const deniedConnects: Measure = {
  name: "denied",
  title: "denied CONNECTs, 8 at once",
  figures: [
    { id: "denied.cpu", title: "CPU-s per 10,000 denials", digits: 2, compare: true },
    { id: "denied.rate", title: "denials/s", digits: 0, compare: true },
    { id: "denied.load", title: "load core busy, %", digits: 0 },
  ],
  kinds: ["forward"],
  async sample(stage, route, { warmMs, windowMs }) {
    const { upstreamPid } = stage;
    const tally = await stage.run<Tally>(
      { kind: "denials", route, upstreamPid, concurrency: 8, warmMs, windowMs },
      warmMs + windowMs + SLACK_MS,
    );
    return {
      "denied.cpu": cpuPer(tally, 10_000),
      "denied.rate": perSecond(tally),
      "denied.load": loadCorePercent(tally),
    };
  },
};
