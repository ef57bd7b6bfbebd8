import type { Running } from "../contenders/contender.ts";
import type { Tally } from "../load/window.ts";
import { type Figure, SLACK_MS } from "../measures/measure.ts";
import { cpuPer } from "../measures/per.ts";
import { destinationHost } from "../wire/fixtures.ts";
import { treeRssMegabytes } from "../wire/process-tree.ts";
import type { Survey, Surveyed } from "./survey.ts";

const SIZES = [10, 1000, 100_000] as const;

const figures: readonly Figure[] = SIZES.flatMap((size) => {
  const words = `${size.toLocaleString("en-US")} destinations`;
  return [
    { id: `allow-list.${size}.requests`, title: `${words}: CPU-s per 10,000 requests`, digits: 3 },
    { id: `allow-list.${size}.denials`, title: `${words}: CPU-s per 10,000 denials`, digits: 3 },
    { id: `allow-list.${size}.start`, title: `${words}: process start to listening, s`, digits: 2 },
    { id: `allow-list.${size}.rss`, title: `${words}: RSS after start, MB`, digits: 0 },
  ];
});

/** What the length of the allow-list costs: three Posterns side by side, measured in rounds of their own. */
export const allowList: Survey = {
  name: "allow-list",
  title: "length of the allow-list",
  of: "postern",
  figures,
  take: surveyAllowList,
};

async function surveyAllowList(surveyed: Surveyed): Promise<void> {
  const { stage, contender, start, results } = surveyed;
  const { rounds, warmMs, windowMs } = surveyed.pace;
  const running = new Map<number, Running>();
  try {
    for (const size of SIZES) {
      const startMs = performance.now();
      const started = await start({ destinations: size });
      running.set(size, started);
      results.record(contender, 0, {
        [`allow-list.${size}.start`]: (performance.now() - startMs) / 1000,
        [`allow-list.${size}.rss`]: treeRssMegabytes(started.route.pid ?? 0),
      });
    }
    for (let round = 0; round < rounds; round++) {
      for (const [size, { route }] of running) {
        const window = { upstreamPid: stage.upstreamPid, route, warmMs, windowMs };
        const deadlineMs = warmMs + windowMs + SLACK_MS;
        const requests = await stage.run<Tally>(
          // The last name of the list: a search from the top would show.
          { kind: "keepalive", host: destinationHost(size - 1), plain: false, connections: 16, ...window },
          deadlineMs,
        );
        const denials = await stage.run<Tally>({ kind: "denials", concurrency: 8, ...window }, deadlineMs);
        results.record(contender, round, {
          [`allow-list.${size}.requests`]: cpuPer(requests, 10_000),
          [`allow-list.${size}.denials`]: cpuPer(denials, 10_000),
        });
      }
    }
  } finally {
    await Promise.all([...running.values()].map((each) => each.stop()));
  }
}
