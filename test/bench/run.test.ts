import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Contender } from "../../bench/contenders/contender.ts";
import type { Route } from "../../bench/load/route.ts";
import { type Measure, NOT_SPOKEN, type Sample } from "../../bench/measures/measure.ts";
import { QUICK } from "../../bench/pace.ts";
import { Results } from "../../bench/report/results.ts";
import { type Plan, run } from "../../bench/run.ts";
import type { Stage } from "../../bench/stage/stage.ts";
import type { Survey } from "../../bench/surveys/survey.ts";

/** The rounds of the bench, with contenders that do nothing and a measure that notes whom it was taken for. */

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-bench-test-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Seen {
  readonly started: string[];
  readonly stopped: string[];
  readonly warmed: string[];
  /** Samples that are not counted. */
  readonly rehearsed: string[];
  readonly sampled: string[];
}

/** Runs `rounds` rounds. `answers` is what the sample of a contender gives; left out: a value. */
async function take(
  contenders: readonly Pick<Contender, "name" | "kind" | "without">[],
  rounds: number,
  freshEvery: number | null,
  answers: Readonly<Record<string, () => Sample>> = {},
  surveys: readonly Survey[] = [],
): Promise<{ readonly seen: Seen; readonly results: Results }> {
  const seen: Seen = { started: [], stopped: [], warmed: [], rehearsed: [], sampled: [] };
  const results = new Results();
  const measure: Measure = {
    name: "some",
    title: "",
    figures: [],
    kinds: ["direct", "forward"],
    sample(_stage, { trust: name }, _pace, round) {
      (round < rounds ? seen.sampled : seen.rehearsed).push(name);
      return Promise.resolve(answers[name]?.() ?? { "some.value": 1 });
    },
  };
  const stage = {
    folder,
    upstreamPid: 0,
    run(job: { readonly kind: string; readonly route: Route }) {
      seen.warmed.push(`${job.route.trust} ${job.kind}`);
      return Promise.resolve();
    },
  } as unknown as Stage;
  await run({
    stage,
    contenders: contenders.map((each) => standIn(each, seen)),
    measures: [measure],
    surveys,
    pace: { ...QUICK, rounds },
    freshEvery,
    results,
    profiles: null,
    keepLogs: false,
    say: () => undefined,
    ended: new Promise<never>(() => undefined),
  } satisfies Plan);
  return { seen, results };
}

/** A contender that is told by the `trust` of its route. */
function standIn({ name, kind, without = [] }: Pick<Contender, "name" | "kind" | "without">, seen: Seen): Contender {
  return {
    name,
    kind,
    without,
    inspect: () => ({ version: "1" }),
    start() {
      seen.started.push(name);
      return Promise.resolve({
        route: { kind, trust: name } as Route,
        logs: [],
        hasEnded: () => false,
        stop() {
          seen.stopped.push(name);
          return Promise.resolve();
        },
      });
    },
  };
}

const A = { name: "a", kind: "direct" } as const;
const B = { name: "b", kind: "forward" } as const;

test("each round goes back in the order in which the last one came", async () => {
  const { seen } = await take([A, B], 3, null);
  expect(seen.sampled).toEqual(["a", "b", "b", "a", "a", "b"]);
  expect(seen.rehearsed).toEqual(["a", "b"]);
  expect(seen.started).toEqual(["a", "b"]);
  expect(seen.stopped).toEqual(["a", "b"]);
});

test("everybody is started anew before every so many rounds, and warmed up again", async () => {
  const { seen } = await take([A, B], 5, 2);
  expect(seen.started).toEqual(["a", "b", "a", "b", "a", "b"]);
  expect(seen.stopped).toHaveLength(6);
  expect(seen.warmed).toHaveLength(6);
  expect(seen.rehearsed).toHaveLength(6);
});

test("who does not choose the protocol is not asked again, and has not failed", async () => {
  const { seen, results } = await take([A, B], 3, null, { b: () => NOT_SPOKEN });
  expect(seen.sampled.filter((name) => name === "b")).toHaveLength(1);
  expect(results.isNotSpoken("b", "some")).toBe(true);
  expect(results.failures).toEqual([]);
});

test("who fails is given up, and the others go on", async () => {
  const postern = { name: "postern", kind: "forward" } as const;
  const { seen, results } = await take([A, postern], 3, null, {
    postern: () => {
      throw new Error("broken");
    },
  });
  expect(seen.sampled).toEqual(["a", "postern", "a", "a"]);
  expect(results.failures).toEqual([{ contender: "postern", measure: "some", message: "broken" }]);
});

test("a measure is taken of who can take part in it", async () => {
  const { seen } = await take(
    [A, { ...B, without: ["some"] }, { name: "c", kind: "reverse" }, { name: "d", kind: "relay" }],
    1,
    null,
  );
  expect(seen.sampled).toEqual(["a"]);
});

test("a relay, which ends no TLS, is warmed up with bytes", async () => {
  const { seen } = await take([A, { name: "d", kind: "relay" }], 1, null);
  expect(seen.warmed).toEqual(["a keepalive", "d opaque"]);
});

test("a survey is taken of every proxy, or of Postern alone, after the rounds; one that fails is recorded", async () => {
  const taken: string[] = [];
  const survey = (name: string, of: Survey["of"]): Survey => ({
    name,
    title: "",
    figures: [],
    of,
    async take({ contender, start, results }) {
      taken.push(`${name} ${contender}`);
      const running = await start({ destinations: 1 });
      results.record(contender, 0, { [`${name}.value`]: 1 });
      await running.stop();
      if (name === "broken") throw new Error("no");
    },
  });
  const contenders = [A, { name: "postern", kind: "forward" }, { name: "c", kind: "reverse" }] as const;
  const surveys = [survey("all", "every proxy"), survey("own", "postern"), survey("broken", "postern")];
  const { seen, results } = await take([...contenders, { name: "d", kind: "relay" }], 1, null, {}, surveys);
  expect(taken).toEqual(["all postern", "all c", "own postern", "broken postern"]);
  expect(seen.started.slice(4)).toEqual(["postern", "c", "postern", "postern"]);
  expect(seen.stopped).toHaveLength(8);
  expect(results.figure("postern", "own.value")).toBe(1);
  expect(results.failures).toEqual([{ contender: "postern", measure: "broken", message: "no" }]);
});
