import { mkdirSync, truncateSync } from "node:fs";
import { join } from "node:path";
import type { Contender, Running, Serving } from "./contenders/contender.ts";
import type { LoadJob } from "./load/jobs.ts";
import type { Route } from "./load/route.ts";
import { type Measure, NOT_SPOKEN } from "./measures/measure.ts";
import type { Pace } from "./pace.ts";
import type { Results } from "./report/results.ts";
import type { Stage } from "./stage/stage.ts";
import type { Survey } from "./surveys/survey.ts";
import { destinationHost, DESTINATIONS, OPAQUE_HOST } from "./wire/fixtures.ts";

export interface Plan {
  readonly stage: Stage;
  readonly contenders: readonly Contender[];
  readonly measures: readonly Measure[];
  readonly surveys: readonly Survey[];
  readonly pace: Pace;
  /** Everybody is started anew before every so many rounds; `null`: once for all. */
  readonly freshEvery: number | null;
  readonly results: Results;
  /** Logs are cut after each round, so that a long run fills no disk, unless somebody wants to read them. */
  readonly keepLogs: boolean;
  /** Folder for CPU profiles of Postern, or `null`. */
  readonly profiles: string | null;
  readonly say: (line: string) => void;
  /** Rejects when the run is to end early. */
  readonly ended: Promise<never>;
}

/**
 * One run: rounds over all contenders, everything interleaved (A B C D, D C B A, ...) so that a mood of the machine hits all
 * alike and nobody always comes after the same one, then the surveys on fresh processes. What fails is recorded and left out of later rounds.
 */
export async function run(plan: Plan): Promise<void> {
  const running = new Map<string, Running>();
  const starter = makeStarter(plan);
  try {
    if (plan.measures.length > 0) {
      for (let round = 0; round < plan.pace.rounds; round++) {
        if (round === 0 || (plan.freshEvery !== null && round % plan.freshEvery === 0)) {
          await stopAll(running);
          await startAll(plan, starter, running);
        }
        await runRound(plan, running, round);
      }
    }
  } finally {
    await stopAll(running);
  }
  for (const survey of plan.surveys) await runSurvey(plan, starter, survey);
}

type Starter = (contender: Contender, serving: Serving) => Promise<Running>;

function makeStarter({ stage, profiles }: Plan): Starter {
  let started = 0;
  return (contender, serving) => {
    const folder = join(stage.folder, `${contender.name}-${++started}`);
    mkdirSync(folder);
    return contender.start(stage, { ...serving, folder, profiles });
  };
}

async function stopAll(running: Map<string, Running>): Promise<void> {
  await Promise.all([...running.values()].map((each) => each.stop()));
  running.clear();
}

/** Starts and warms everybody up. */
async function startAll(plan: Plan, start: Starter, running: Map<string, Running>): Promise<void> {
  const { pace, stage } = plan;
  for (const contender of plan.contenders) {
    plan.say(`starting ${contender.name}`);
    await attempt(plan, contender.name, "start", async () => {
      const started = await start(contender, { destinations: DESTINATIONS });
      running.set(contender.name, started);
      await stage.run(warmUp(plan, started.route), pace.warmUpMs + 20_000);
    });
    await warmUpForEach(plan, contender, running);
  }
}

/**
 * Each measure once that is not counted: what a just-in-time compiler has never run, or has only ever run beside something else, it
 * has yet to compile, and a proxy runs for weeks.
 */
async function warmUpForEach(plan: Plan, contender: Contender, running: ReadonlyMap<string, Running>): Promise<void> {
  const { pace, stage } = plan;
  const route = running.get(contender.name)?.route;
  if (route === undefined) return;
  for (const measure of plan.measures) {
    if (!takesPart(contender, measure)) continue;
    plan.say(`warming ${contender.name} up: ${measure.name}`);
    // A failure shows, and is told, in the rounds.
    const work = async (): Promise<void> => {
      await measure.sample(stage, route, { ...pace, windowMs: pace.warmUpMs / 2 }, pace.rounds);
    };
    await Promise.race([outcomeOf(work), plan.ended]);
  }
}

/** Load for a contender that has just started. */
function warmUp({ stage, pace }: Plan, route: Route): LoadJob {
  const { upstreamPid } = stage;
  if (route.kind === "relay")
    return { kind: "opaque", route, upstreamPid, host: OPAQUE_HOST, times: pace.passThroughTimes };
  const host = destinationHost(0);
  const windowMs = pace.warmUpMs;
  return { kind: "keepalive", route, upstreamPid, host, plain: false, connections: 16, warmMs: 0, windowMs };
}

async function runRound(plan: Plan, running: ReadonlyMap<string, Running>, round: number): Promise<void> {
  const { stage, pace, results } = plan;
  for (const measure of plan.measures) {
    const said: string[] = [];
    for (const contender of round % 2 === 0 ? plan.contenders : plan.contenders.toReversed()) {
      const each = running.get(contender.name);
      if (each === undefined || !takesPart(contender, measure)) continue;
      if (results.hasFailed(contender.name, measure.name) || results.isNotSpoken(contender.name, measure.name))
        continue;
      await attempt(plan, contender.name, measure.name, async () => {
        if (each.hasEnded()) throw new Error("its process has ended");
        const values = await measure.sample(stage, each.route, pace, round);
        if (values === NOT_SPOKEN) {
          results.notSpoken(contender.name, measure.name);
          said.push(`${contender.name} ${NOT_SPOKEN}`);
          return;
        }
        results.record(contender.name, round, values);
        const main = measure.figures[0];
        if (main !== undefined) said.push(`${contender.name} ${(values[main.id] ?? Number.NaN).toFixed(main.digits)}`);
      });
    }
    plan.say(
      `round ${round + 1}/${pace.rounds} ${measure.name}: ${said.join(", ")} (${measure.figures[0]?.title ?? ""})`,
    );
  }
  if (plan.keepLogs) return;
  for (const each of running.values()) each.logs.forEach((file) => truncateSync(file));
}

function takesPart({ kind, without }: Contender, { kinds, name }: Measure): boolean {
  return kinds.includes(kind) && without?.includes(name) !== true;
}

async function runSurvey(plan: Plan, start: Starter, survey: Survey): Promise<void> {
  const { stage, pace, results, say } = plan;
  const { name, of } = survey;
  for (const contender of plan.contenders) {
    const isProxy = contender.kind === "forward" || contender.kind === "reverse";
    if (of === "postern" ? contender.name !== "postern" : !isProxy) continue;
    say(`survey ${name} of ${contender.name}`);
    await attempt(plan, contender.name, name, () =>
      survey.take({
        stage,
        contender: contender.name,
        start: (serving) => start(contender, serving),
        pace,
        results,
        say,
      }),
    );
  }
}

/** Some of the peers answer a stray 500 now and then; what Postern gets wrong counts at once. */
const PEER_ATTEMPTS = 3;

/** Does `work`; a failure is recorded and said, an end of the whole run goes on. */
async function attempt(plan: Plan, contender: string, measure: string, work: () => Promise<void>): Promise<void> {
  const attempts = contender === "postern" || measure === "start" ? 1 : PEER_ATTEMPTS;
  for (let i = 1; i <= attempts; i++) {
    const message = await Promise.race([outcomeOf(work), plan.ended]);
    if (message === null) return;
    if (i === attempts) plan.results.fail({ contender, measure, message });
    plan.say(`${i === attempts ? "FAILED" : "once more:"} ${contender}, ${measure}: ${message}`);
  }
}

/** `null`, or what went wrong. */
function outcomeOf(work: () => Promise<void>): Promise<string | null> {
  return work().then(
    () => null,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}
