import type { Running } from "../contenders/contender.ts";
import type { Route } from "../load/route.ts";
import type { Tally } from "../load/window.ts";
import { type Figure, SLACK_MS } from "../measures/measure.ts";
import { cpuPer, loadCorePercent, perSecond } from "../measures/per.ts";
import type { Stage } from "../stage/stage.ts";
import { destinationHost } from "../wire/fixtures.ts";
import { leaseFetches } from "./lease-fetches.ts";
import type { Survey, Surveyed } from "./survey.ts";

/** Lives of the leases of two edges that stand side by side, `s`. */
const LIVES = [5, 900] as const;
const DESTINATIONS = 100;
const AT_ONCE = 16;
/** Within a window every short lease is replaced once at least. */
const WINDOW_MS = 5000;
/** Opening one tunnel, handshakes included. */
const OPEN_MS = 50;

/** What it costs that leases are replaced all the time: 100 destinations with a lease each, asked in turn. */
export const renewals: Survey = {
  name: "renewals",
  title: `renewals: keep-alive, ${DESTINATIONS} leases, ${AT_ONCE} requests at once`,
  of: "postern",
  figures: LIVES.flatMap(figures),
  async take({ stage, start, pace, results, contender }) {
    const edges = new Map<number, Running>();
    try {
      for (const seconds of LIVES)
        edges.set(seconds, await start({ destinations: DESTINATIONS, leaseSeconds: seconds }));
      for (const { route } of edges.values()) await ask(stage, route, 0, pace.warmUpMs);
      for (let round = 0; round < pace.rounds; round++) {
        for (const [seconds, edge] of round % 2 === 0 ? edges : [...edges].toReversed())
          results.record(contender, round, await sample(seconds, edge, { stage, pace }));
      }
    } finally {
      await Promise.all([...edges.values()].map((edge) => edge.stop()));
    }
  },
};

function figures(seconds: number): Figure[] {
  const words = seconds < 60 ? `leases of ${seconds} s` : `leases of ${seconds / 60} min`;
  return [
    { id: `renewals.${seconds}.rate`, title: `${words}: requests/s`, digits: 0 },
    { id: `renewals.${seconds}.cpu`, title: `${words}: CPU-s per 10,000 requests`, digits: 3 },
    { id: `renewals.${seconds}.leases`, title: `${words}: leases in a sample`, digits: 0 },
    { id: `renewals.${seconds}.load`, title: `${words}: load core busy, %`, digits: 0 },
  ];
}

async function sample(
  seconds: number,
  edge: Running,
  { stage, pace: { warmMs } }: Pick<Surveyed, "stage" | "pace">,
): Promise<Record<string, number>> {
  const before = await leaseFetches(edge);
  const tally = await ask(stage, edge.route, warmMs, WINDOW_MS);
  const leases = (await leaseFetches(edge)) - before;
  if (seconds * 1000 <= WINDOW_MS && leases < DESTINATIONS)
    throw new Error(`only ${leases} leases of ${seconds} s were fetched for ${DESTINATIONS} destinations`);
  return {
    [`renewals.${seconds}.rate`]: perSecond(tally),
    [`renewals.${seconds}.cpu`]: cpuPer(tally, 10_000),
    [`renewals.${seconds}.leases`]: leases,
    [`renewals.${seconds}.load`]: loadCorePercent(tally),
  };
}

function ask(stage: Stage, route: Route, warmMs: number, windowMs: number): Promise<Tally> {
  const hosts = Array.from({ length: DESTINATIONS }, (_, i) => destinationHost(i));
  const { upstreamPid } = stage;
  return stage.run<Tally>(
    { kind: "rotation", route, upstreamPid, hosts, atOnce: AT_ONCE, warmMs, windowMs },
    DESTINATIONS * OPEN_MS + warmMs + windowMs + SLACK_MS,
  );
}
