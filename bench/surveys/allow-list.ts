import type { Running } from "../contenders/contender.ts";
import type { Tally } from "../load/window.ts";
import { type Figure, SLACK_MS } from "../measures/measure.ts";
import { cpuPer } from "../measures/per.ts";
import type { Pace } from "../pace.ts";
import type { Results } from "../report/results.ts";
import type { Stage } from "../stage/stage.ts";
import { destinationHost } from "../wire/fixtures.ts";
import { treeRssMegabytes } from "../wire/process-tree.ts";

/** What the length of the allow-list costs: three of the same contender side by side, measured in rounds of their own. */
export const ALLOW_LIST_SIZES = [10, 1000, 100_000] as const;

export const ALLOW_LIST_FIGURES: readonly Figure[] = ALLOW_LIST_SIZES.flatMap((size) => {
  const words = `${size.toLocaleString("en-US")} destinations`;
  return [
    { id: `allow-list.${size}.requests`, title: `${words}: CPU-s per 10,000 requests`, digits: 3 },
    { id: `allow-list.${size}.denials`, title: `${words}: CPU-s per 10,000 denials`, digits: 3 },
    { id: `allow-list.${size}.start`, title: `${words}: process start to listening, s`, digits: 2 },
    { id: `allow-list.${size}.rss`, title: `${words}: RSS after start, MB`, digits: 0 },
  ];
});

/** `start` begins a fresh process with a list of that size. Values go to `results` under `contender`. */
export async function surveyAllowList(
  stage: Stage,
  contender: string,
  start: (destinations: number) => Promise<Running>,
  { rounds, warmMs, windowMs }: Pace,
  results: Results,
): Promise<void> {
  const running = new Map<number, Running>();
  try {
    for (const size of ALLOW_LIST_SIZES) {
      const startMs = performance.now();
      const started = await start(size);
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
