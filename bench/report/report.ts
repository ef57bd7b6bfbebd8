import { measures } from "../measures/all.ts";
import { type Figure, NOT_SPOKEN } from "../measures/measure.ts";
import { surveys } from "../surveys/all.ts";
import type { Results } from "./results.ts";
import { number, table } from "./table.ts";
import { judge, type Verdict } from "./verdicts.ts";

interface Section {
  /** Name of the measure or survey. */
  readonly name: string;
  readonly title: string;
  readonly figures: readonly Figure[];
}

const sections: readonly Section[] = [...measures, ...surveys];

/** Everything that was measured, as text: figures, ratios of Postern to the others, verdicts, failures. */
export function report(results: Results, contenders: readonly string[]): string {
  const parts = [figuresTable(results, contenders), ratiosTable(results, contenders), verdictsTable(judge(results))];
  if (results.failures.length > 0) {
    const lines = results.failures.map(({ contender, measure, message }) => `  ${contender}, ${measure}: ${message}\n`);
    parts.push(`Failed\n${lines.join("")}`);
  }
  return parts.filter((part) => part !== "").join("\n");
}

function figuresTable(results: Results, contenders: readonly string[]): string {
  const rows: string[][] = [["Medians", ...contenders]];
  for (const { name: measure, title, figures } of sections) {
    const silent = contenders.filter((contender) => results.isNotSpoken(contender, measure));
    const lines = figures
      .map(({ id, title: name, digits }) => ({
        name,
        values: contenders.map((contender) => results.figure(contender, id)),
        digits,
      }))
      .filter(({ values }) => values.some((value) => value !== null) || silent.length > 0);
    if (lines.length === 0) continue;
    rows.push([title]);
    for (const { name, values, digits } of lines)
      rows.push([
        `  ${name}`,
        ...values.map((value, i) => (silent.includes(contenders[i] ?? "") ? NOT_SPOKEN : number(value, digits))),
      ]);
  }
  return table(rows);
}

function ratiosTable(results: Results, contenders: readonly string[]): string {
  const others = contenders.filter((contender) => contender !== "postern" && contender !== "direct");
  if (!contenders.includes("postern") || others.length === 0) return "";
  const rows: string[][] = [["Postern divided by (median of the rounds' ratios)", ...others]];
  for (const { title, figures } of sections) {
    for (const { id, title: name, compare } of figures) {
      if (compare !== true) continue;
      const ratios = others.map((to) =>
        results.ratio({ contender: "postern", figure: id }, { contender: to, figure: id }),
      );
      if (ratios.every((ratio) => ratio === null)) continue;
      rows.push([`  ${title}: ${name}`, ...ratios.map((ratio) => number(ratio?.median ?? null, 2))]);
    }
  }
  return rows.length === 1 ? "" : table(rows);
}

function verdictsTable(verdicts: readonly Verdict[]): string {
  const rows = [["Targets", "limit", "measured", "lowest to highest round", "median lies within (95 %)", "verdict"]];
  for (const { target, measured, verdict } of verdicts) {
    if (measured === null) continue;
    const unit = target.kind === "value" ? ` ${target.unit}` : "x";
    const digits = target.kind === "value" ? target.digits : 3;
    rows.push([
      `  ${target.title}`,
      `${target.sense} ${number(target.limit, digits)}${unit}`,
      `${number(measured.median, digits)}${unit}`,
      `${number(measured.low, digits)} to ${number(measured.high, digits)}`,
      measured.within === null
        ? "-"
        : `${number(measured.within.low, digits)} to ${number(measured.within.high, digits)}`,
      verdict,
    ]);
  }
  if (rows.length === 1) return "";
  const left = verdicts.length - rows.length + 1;
  return table(rows) + (left === 0 ? "" : `  ${left} further targets were not measured in this run\n`);
}
