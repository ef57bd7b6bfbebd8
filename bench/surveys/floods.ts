import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FLOODS, type FloodName } from "../../test/hostile/support/h2-floods.ts";
import type { FloodEnd, FlooderMessage, FloodOrder } from "../../test/hostile/support/h2-flooder.ts";
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
const READY_MS = 20_000;
const FLOOD_MS = 60_000;

const ENDED = "the flooder has ended; see flooder.log";

const NAMES = Object.keys(FLOODS) as FloodName[];

/** What a guest that floods over HTTP/2 costs another one, a flood at a time. One that is not cut fails the survey. */
export const floods: Survey = {
  name: "floods",
  title: "HTTP/2 floods: p99 of another guest, one question after the other",
  of: "postern",
  figures: NAMES.flatMap(figures),
  async take({ stage, start, pace, results, contender, say }) {
    const flooder = await Flooder.start(stage);
    try {
      const edge = await start({ destinations: DESTINATIONS, floodedPort: flooder.upstreamPort });
      try {
        await ask(stage, edge.route, pace);
        for (let round = 0; round < pace.rounds; round++) {
          for (const name of NAMES) {
            const peace = await ask(stage, edge.route, pace);
            const war = await askWhile(stage, edge.route, pace, () => flooder.flood(edge.route.proxyPort, name));
            results.record(contender, round, { [figureOf(name, "peace")]: peace, [figureOf(name, "war")]: war });
          }
          say(`round ${round + 1}/${pace.rounds} floods`);
        }
      } finally {
        await edge.stop();
      }
    } finally {
      await flooder.stop();
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

/** The same while `flood` runs, again and again for as long as there are questions. */
async function askWhile(stage: Stage, route: Route, pace: Pace, flood: () => Promise<void>): Promise<number> {
  const asked = { isOver: false };
  const asking = ask(stage, route, pace).finally(() => (asked.isOver = true));
  const flooding = (async () => {
    while (!asked.isOver) await flood();
  })();
  const [p99] = await Promise.all([asking, flooding]);
  return p99;
}

/** A process that floods, with an upstream of its own, behind everybody else on the load's core. */
class Flooder {
  readonly upstreamPort: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, upstreamPort: number) {
    this.#child = child;
    this.upstreamPort = upstreamPort;
  }

  static async start({ cores, certificates, folder }: Stage): Promise<Flooder> {
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
    try {
      const ready = await told(child, READY_MS);
      if (!("upstreamPort" in ready)) throw new Error("the flooder's first word is its port");
      return new Flooder(child, ready.upstreamPort);
    } catch (thrown) {
      await stopProcess(child);
      throw thrown;
    }
  }

  /** One connection's worth. @throws Error unless the edge ends it */
  async flood(edgePort: number, name: FloodName): Promise<void> {
    // An address for each flood: the edge holds off whoever has flooded.
    const localAddress = `127.0.1.${1 + NAMES.indexOf(name)}`;
    const authority = `${FLOODED_HOST}:${this.upstreamPort}`;
    if (!this.#child.connected) throw new Error(ENDED);
    this.#child.send({ edgePort, authority, name, localAddress } satisfies FloodOrder);
    const end = (await told(this.#child, FLOOD_MS)) as FloodEnd;
    if (!end.closed) throw new Error(`${name}: whoever floods is not cut`);
  }

  stop(): Promise<void> {
    return stopProcess(this.#child);
  }
}

/** What the flooder says next. */
function told(child: ChildProcess, withinMs: number): Promise<FlooderMessage> {
  return new Promise((resolve, reject) => {
    const settle = (then: () => void): void => {
      clearTimeout(timer);
      child.off("exit", onExit);
      child.off("message", onMessage);
      then();
    };
    const onExit = (): void => settle(() => reject(new Error(ENDED)));
    const onMessage = (message: unknown): void => settle(() => resolve(message as FlooderMessage));
    const onTime = (): void => settle(() => reject(new Error(`the flooder said nothing for ${withinMs} ms`)));
    const timer = setTimeout(onTime, withinMs);
    if (child.exitCode !== null || child.signalCode !== null) onExit();
    child.once("exit", onExit);
    child.once("message", onMessage);
  });
}
