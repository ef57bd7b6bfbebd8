import type { Tally } from "../load/window.ts";
import { median } from "../report/statistics.ts";
import { destinationHost } from "../wire/fixtures.ts";
import { type Measure, SLACK_MS } from "./measure.ts";
import { cpuPer, loadCorePercent, perSecond } from "./per.ts";

/** CONNECT + full TLS handshake + one request, the leaf already minted. */
export const newTunnels: Measure = {
  name: "tunnels",
  title: "new tunnels, warm leaf, 8 at once",
  figures: [
    { id: "tunnels.cpu", title: "CPU-s per 1,000 tunnels", digits: 2, compare: true },
    { id: "tunnels.rate", title: "tunnels/s", digits: 0 },
    { id: "tunnels.load", title: "load core busy, %", digits: 0 },
  ],
  kinds: ["direct", "forward", "reverse"],
  async sample(stage, route, { warmMs, windowMs }) {
    const { upstreamPid } = stage;
    const host = destinationHost(0);
    const tally = await stage.run<Tally>(
      { kind: "tunnels", route, upstreamPid, host, concurrency: 8, warmMs, windowMs },
      warmMs + windowMs + SLACK_MS,
    );
    return {
      "tunnels.cpu": cpuPer(tally, 1000),
      "tunnels.rate": perSecond(tally),
      "tunnels.load": loadCorePercent(tally),
    };
  },
};

/** Host 0 is everybody's warm one; each round takes the next hosts of the list. */
const FIRST_UNSEEN = 1;

/** The whole of a guest's first contact with a host: TCP, CONNECT, lookup, mint, two handshakes, one request. */
export const firstHit: Measure = {
  name: "first-hit",
  title: "first hit of a never-seen host, one at a time",
  figures: [{ id: "first-hit.p50", title: "p50, ms", digits: 2, compare: true }],
  kinds: ["direct", "forward"],
  async sample(stage, route, { firstHits }, round) {
    const hosts = Array.from({ length: firstHits }, (_, i) => destinationHost(FIRST_UNSEEN + round * firstHits + i));
    const taken = await stage.run<number[]>({ kind: "first-hits", route, hosts }, firstHits * 1000 + SLACK_MS);
    return { "first-hit.p50": median(taken) };
  },
};
