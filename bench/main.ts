import { writeFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import { contenders as allContenders } from "./contenders/all.ts";
import type { Contender } from "./contenders/contender.ts";
import { baseline } from "./contenders/postern.ts";
import { measures } from "./measures/all.ts";
import { EndedEarly, endEarly } from "./end-early.ts";
import { type Options, parseOptions, USAGE, UsageError } from "./options.ts";
import { FULL, type Pace, QUICK } from "./pace.ts";
import { type RunFacts, toJson } from "./report/json.ts";
import { report } from "./report/report.ts";
import { Results } from "./report/results.ts";
import { run } from "./run.ts";
import { type Cores, Stage } from "./stage/stage.ts";
import { stopEverything } from "./wire/worker.ts";
import { surveys } from "./surveys/all.ts";
import { readCoreTime, stealPercent } from "./stage/steal.ts";

/** `npm run bench`: Postern beside other proxies, one run, interleaved, on one core. bench/README.md tells how to read it. */

async function main(): Promise<number> {
  try {
    const options = parseOptions(process.argv.slice(2));
    if (options === "help") {
      process.stdout.write(USAGE);
      return 0;
    }
    if (process.platform !== "linux") throw new UsageError("the bench reads CPU time from /proc: run it on Linux");
    return await bench(options);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n\n${USAGE}`);
    return 2;
  }
}

async function bench(options: Options): Promise<number> {
  const startMs = performance.now();
  const say = (line: string): void => {
    const seconds = ((performance.now() - startMs) / 1000).toFixed(0).padStart(4);
    process.stderr.write(`${seconds} s  ${line}\n`);
  };
  const pace = choosePace(options);
  const cores = chooseCores(say);
  sayWhenBusy(say);
  const inspected = inspectContenders(options, say);
  const present = inspected.filter(({ about }) => "version" in about).map(({ contender }) => contender);

  const end = endEarly(options.limitMinutes);
  const results = new Results();
  const startedAt = new Date().toISOString();
  const before = readCoreTime(cores.proxy);
  let endedBy: EndedEarly | null = null;
  const stage = await Stage.open(cores, options.keepFiles);
  try {
    await run({
      stage,
      contenders: present,
      measures: measures.filter(({ name }) => options.only.has(name)),
      surveys: surveys.filter(({ name }) => options.only.has(name)),
      pace,
      freshEvery: options.freshEvery,
      results,
      profiles: options.profiles,
      keepLogs: options.keepFiles,
      say,
      ended: end.ended,
    });
  } catch (error) {
    if (!(error instanceof EndedEarly)) throw error;
    endedBy = error;
    say(`ends early: ${error.message}`);
  } finally {
    end.release();
    await stage.close();
    await stopEverything();
    if (options.keepFiles) say(`files: ${stage.folder}`);
  }

  const names = present.map(({ name }) => name);
  for (const { id, lessDirect } of measures.flatMap(({ figures }) => figures))
    if (lessDirect !== undefined) results.deriveDifference(id, lessDirect, "direct", names);
  const facts: RunFacts = {
    startedAt,
    seconds: Math.round((performance.now() - startMs) / 1000),
    contenders: Object.fromEntries(inspected.map(({ contender, about }) => [contender.name, about])),
    pace,
    stealPercent: stealPercent(before, readCoreTime(cores.proxy)),
  };
  process.stdout.write(`${headline(facts, options.quick)}\n${report(results, names)}`);
  if (options.json !== null) writeFileSync(options.json, toJson(results, facts));
  if (endedBy?.isInterrupt === true) return 130;
  return results.failures.length > 0 || endedBy !== null ? 1 : 0;
}

function choosePace({ quick, rounds }: Options): Pace {
  const pace = quick ? QUICK : FULL;
  return rounds === null ? pace : { ...pace, rounds };
}

/** Proxy on core 0, everything else of the bench on core 1. */
function chooseCores(say: (line: string) => void): Cores {
  if (availableParallelism() >= 2) return { proxy: 0, load: 1 };
  say("this machine has one core: proxy and load share it, only CPU-seconds mean something");
  return { proxy: null, load: null };
}

/** Load average from which on others take part in what is measured. */
const BUSY = 0.7;

function sayWhenBusy(say: (line: string) => void): void {
  const [load = 0] = loadavg();
  if (load > BUSY)
    say(`this machine is busy with something else (load ${load.toFixed(1)}): small differences mean nothing`);
}

interface Inspected {
  readonly contender: Contender;
  readonly about: ReturnType<Contender["inspect"]>;
}

function inspectContenders(options: Options, say: (line: string) => void): Inspected[] {
  const others = options.baseline === null ? [] : [baseline(options.baseline)];
  return [...allContenders.filter(({ name }) => options.contenders.has(name)), ...others].map((contender) => {
    const about = contender.inspect();
    if ("absent" in about) say(`without ${contender.name}: ${about.absent}`);
    return { contender, about };
  });
}

function headline({ seconds, contenders, pace, stealPercent }: RunFacts, quick: boolean): string {
  const versions = Object.entries(contenders).map(([name, about]) =>
    "version" in about ? `${name} ${about.version}`.trim() : `${name} absent (${about.absent})`,
  );
  const steal = stealPercent === null ? "" : `, ${stealPercent.toFixed(1)} % of the proxy core stolen`;
  const caution = quick ? "\nA quick run: windows are short, differences under 25 % mean nothing." : "";
  return `\nNode ${process.version}; ${versions.join(", ")}\n${pace.rounds} rounds, ${seconds} s${steal}${caution}\n`;
}

process.exitCode = await main();
