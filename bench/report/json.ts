import { arch, cpus, platform, release, totalmem } from "node:os";
import type { Pace } from "../pace.ts";
import { measures } from "../measures/all.ts";
import { surveys } from "../surveys/all.ts";
import type { Results } from "./results.ts";
import { judge } from "./verdicts.ts";

export interface RunFacts {
  readonly startedAt: string;
  readonly seconds: number;
  readonly contenders: Readonly<Record<string, { readonly version: string } | { readonly absent: string }>>;
  readonly pace: Pace;
  /** Share of the proxy core's time that the hypervisor gave to others, percent; `null` where it is not told. */
  readonly stealPercent: number | null;
}

/** The whole run for machines: facts, medians, every round's value, verdicts, failures. */
export function toJson(results: Results, facts: RunFacts): string {
  const figures = [...measures, ...surveys].flatMap((each) => each.figures);
  const values: Record<string, Record<string, { median: number | null; rounds: number[] }>> = {};
  for (const contender of Object.keys(facts.contenders)) {
    const mine: Record<string, { median: number | null; rounds: number[] }> = {};
    for (const { id } of figures) {
      const rounds = results.values(contender, id);
      if (rounds.length > 0) mine[id] = { median: results.figure(contender, id), rounds };
    }
    values[contender] = mine;
  }
  const machine = {
    node: process.version,
    platform: `${platform()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryBytes: totalmem(),
  };
  const body = {
    ...facts,
    machine,
    figures: values,
    targets: judge(results),
    notSpoken: results.silent,
    failures: results.failures,
  };
  return `${JSON.stringify(body, null, 2)}\n`;
}
