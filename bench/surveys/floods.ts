import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FlooderProcess } from "../../test/hostile/support/flooder-process.ts";
import { FLOODS, type FloodName } from "../../test/hostile/support/h2-floods.ts";
import type { Route } from "../load/route.ts";
import { type Figure, SLACK_MS } from "../measures/measure.ts";
import type { Pace } from "../pace.ts";
import { quantile } from "../report/statistics.ts";
import type { Stage } from "../stage/stage.ts";
import { destinationHost, DESTINATIONS, FLOODED_HOST } from "../wire/fixtures.ts";
import { spawnPinned, stopProcess } from "../wire/worker.ts";
import type { Survey } from "./survey.ts";

/** What one question may take; no flood may make it so long. */
const ASK_MS = 250;

const NAMES = Object.keys(FLOODS) as FloodName[];

/** What a guest that floods over HTTP/2 costs another one, a flood at a time. One that is not cut fails the survey. */
export const floods: Survey = {
  name: "floods",
  title: "HTTP/2 floods: p99 of another guest, one question after the other",
  of: "postern",
  figures: NAMES.flatMap(figures),
  async take({ stage, start, pace, results, contender, say }) {
    const [flooder, stopFlooder] = await startFlooder(stage);
    try {
      const edge = await start({ destinations: DESTINATIONS, floodedPort: flooder.upstreamPort });
      try {
        await ask(stage, edge.route, pace);
        for (let round = 0; round < pace.rounds; round++) {
          for (const name of NAMES) {
            const peace = await ask(stage, edge.route, pace);
            const war = await askWhile(stage, edge.route, pace, () => flood(flooder, edge.route.proxyPort, name));
            results.record(contender, round, { [figureOf(name, "peace")]: peace, [figureOf(name, "war")]: war });
          }
          say(`round ${round + 1}/${pace.rounds} floods`);
        }
      } finally {
        await edge.stop();
      }
    } finally {
      await stopFlooder();
    }
  },
};

/** Titles and figures of what is held to a target: p99 under a flood, and in the peace ahead of it. */
export const floodFigures = NAMES.map((name) => ({
  title: name,
  war: figureOf(name, "war"),
  peace: figureOf(name, "peace"),
}));

function figureOf(name: FloodName, when: "peace" | "war"): string {
  return `floods.${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}.${when}`;
}

function figures(name: FloodName): Figure[] {
  return [
    { id: figureOf(name, "peace"), title: `${name}: ahead of it, ms`, digits: 2 },
    { id: figureOf(name, "war"), title: `${name}: meanwhile, ms`, digits: 2 },
  ];
}

/** @returns p99 in ms */
async function ask(stage: Stage, route: Route, { floodQuestions: count }: Pace): Promise<number> {
  const { tlsPort: port } = stage.upstream;
  const taken = await stage.run<number[]>(
    { kind: "http2-latency", route, host: destinationHost(0), port, count },
    count * ASK_MS + SLACK_MS,
  );
  return quantile(taken, 0.99);
}

/** The same while `once` runs, again and again for as long as there are questions. */
async function askWhile(stage: Stage, route: Route, pace: Pace, once: () => Promise<void>): Promise<number> {
  const asked = { isOver: false };
  const asking = ask(stage, route, pace).finally(() => (asked.isOver = true));
  const flooding = (async () => {
    while (!asked.isOver) await once();
  })();
  const [p99] = await Promise.all([asking, flooding]);
  return p99;
}

/** A process that floods, with an upstream of its own, behind everybody else on the load's core. @returns stops it as well */
async function startFlooder({ cores, certificates, folder }: Stage): Promise<[FlooderProcess, () => Promise<void>]> {
  const program = join(import.meta.dirname, "..", "..", "test", "hostile", "support", "h2-flooder.ts");
  const leaf = {
    certificate: readFileSync(certificates.upstream, "utf8"),
    key: readFileSync(certificates.upstreamKey, "utf8"),
  };
  const child = spawnPinned({
    command: [process.execPath, program, JSON.stringify(leaf)],
    core: cores.load,
    logFile: join(folder, "flooder.log"),
    ipc: true,
  });
  const stop = (): Promise<void> => stopProcess(child);
  try {
    return [await FlooderProcess.ready(child), stop];
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

/** @throws Error unless the edge ends it */
async function flood(flooder: FlooderProcess, edgePort: number, name: FloodName): Promise<void> {
  const authority = `${FLOODED_HOST}:${flooder.upstreamPort}`;
  // An address for each flood: the edge holds off whoever has flooded.
  const localAddress = `127.0.1.${1 + NAMES.indexOf(name)}`;
  const { closed } = await flooder.flood({ edgePort, authority, name, localAddress });
  if (!closed) throw new Error(`${name}: whoever floods is not cut`);
}
