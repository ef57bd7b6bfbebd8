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
  readonly sampled: string[];
}

/** Runs `rounds` rounds. `answers` is what the sample of a contender gives; left out: a value. */
async function take(
  contenders: readonly Pick<Contender, "name" | "kind" | "without">[],
  rounds: number,
  freshEvery: number | null,
  answers: Readonly<Record<string, () => Sample>> = {},
): Promise<{ readonly seen: Seen; readonly results: Results }> {
  const seen: Seen = { started: [], stopped: [], warmed: [], sampled: [] };
  const results = new Results();
  const measure: Measure = {
    name: "some",
    title: "",
    figures: [],
    kinds: ["direct", "forward"],
    sample(_stage, { trust: name }) {
      seen.sampled.push(name);
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
    surveys: new Set(),
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
  expect(seen.started).toEqual(["a", "b"]);
  expect(seen.stopped).toEqual(["a", "b"]);
});

test("everybody is started anew before every so many rounds, and warmed up again", async () => {
  const { seen } = await take([A, B], 5, 2);
  expect(seen.started).toEqual(["a", "b", "a", "b", "a", "b"]);
  expect(seen.stopped).toHaveLength(6);
  expect(seen.warmed).toHaveLength(6);
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
