import type { z } from "zod";
import { nearest } from "./nearest.ts";
import { type Finding, type Path, quoted } from "./problem.ts";
import { knownKeys } from "./schema-keys.ts";

type Issue = z.core.$ZodIssue;

/**
 * What zod found, in the words of the file, each with what to write instead.
 * @param schema what `value` was held against; asked for the keys that are known at a place
 * @param base path of `value` in the file
 */
export function findingsOf(schema: z.ZodType, value: unknown, issues: readonly Issue[], base: Path): Finding[] {
  return issues.flatMap((issue) => {
    const path = issue.path.map((part) => (typeof part === "number" ? part : String(part)));
    return findingsOfIssue(schema, valueAt(value, path), issue, path).map((finding) => ({
      ...finding,
      path: [...base, ...finding.path],
    }));
  });
}

function findingsOfIssue(schema: z.ZodType, value: unknown, issue: Issue, path: Path): Finding[] {
  const show = mayBeShown(path) ? `${quoted(value)}: ` : "";
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => unknownKey(schema, value, path, key));
    case "invalid_type":
      return [{ path, message: typeMessage(issue.expected, value, show) }];
    case "invalid_value":
      return [{ path, message: choiceMessage(issue.values, value, show) }];
    case "too_small":
    case "too_big":
      return [{ path, message: sizeMessage(issue, value, show) }];
    case "invalid_union":
      return unionFindings(schema, value, issue, path);
    case "invalid_key":
      return [{ path, message: `not a name: ${issue.issues[0]?.message ?? "write another one"}`, atKey: true }];
    default:
      return [{ path, message: `${show}${issue.message}` }];
  }
}

function unknownKey(schema: z.ZodType, value: unknown, path: Path, key: string): Finding {
  const known = [...knownKeys(schema, path)];
  const taken = typeof value === "object" && value !== null ? new Set(Object.keys(value)) : new Set<string>();
  const near = nearest(
    key,
    known.filter((name) => !taken.has(name)),
  );
  const advice = near === null ? `known here: ${known.join(", ")}` : `write ${quoted(near)}`;
  return { path: [...path, key], message: `unknown key: ${advice}`, atKey: true };
}

/** A key that is nobody's word cannot be shown as a value either: `source` may hold a secret that was pasted by mistake. */
function mayBeShown(path: Path): boolean {
  return !path.some((part) => part === "source" || part === "value" || part === "format");
}

const EXPECTED: Readonly<Record<string, string>> = {
  string: "text",
  int: "a whole number",
  number: "a number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  record: "a mapping",
};

function typeMessage(expected: string, value: unknown, show: string): string {
  const wanted = EXPECTED[expected] ?? expected;
  if (value === undefined) return `missing: write ${wanted}`;
  if (value === null) return `empty: write ${wanted}`;
  if (expected === "array" && (typeof value === "string" || typeof value === "number"))
    return show === "" ? "write a list" : `${show}write a list: [${String(value).slice(0, 60)}]`;
  if (typeof value === "object") return `write ${wanted}`;
  const scalar = typeof value === "number" || typeof value === "boolean";
  if (expected === "string" && scalar && show !== "") return `${show}write text: ${quoted(String(value))}`;
  return `${show}write ${wanted}`;
}

function choiceMessage(values: readonly unknown[], value: unknown, show: string): string {
  const words = values.map(String);
  if (value === undefined) return `missing: write ${oneOf(words)}`;
  const near = typeof value === "string" ? nearest(value, words) : null;
  return `${show}write ${near === null ? oneOf(words) : quoted(near)}`;
}

function oneOf(words: readonly string[]): string {
  return words.length === 1 ? quoted(words[0]) : `one of ${words.map(quoted).join(", ")}`;
}

type SizeIssue = Extract<Issue, { code: "too_small" | "too_big" }>;

function sizeMessage(issue: SizeIssue, value: unknown, show: string): string {
  const low = issue.code === "too_small";
  const bound = low ? issue.minimum : issue.maximum;
  const word = low ? "at least" : "at most";
  if (issue.origin === "string")
    return bound === 1 ? "empty: write text" : `too long: write ${word} ${bound} characters`;
  if (issue.origin === "array") return `${countOf(value)}: write ${word} ${bound}`;
  return `${show}write a value of ${word} ${bound}`;
}

function countOf(value: unknown): string {
  return Array.isArray(value) ? (value.length === 0 ? "an empty list" : `${value.length} entries`) : "wrong length";
}

type UnionIssue = Extract<Issue, { code: "invalid_union" }>;

/** Of a union that fits nowhere, the member that was most likely meant speaks. */
function unionFindings(schema: z.ZodType, value: unknown, issue: UnionIssue, path: Path): Finding[] {
  if (issue.errors.length === 0) {
    const choices = discriminators(issue);
    const key = issue.discriminator;
    if (value === null || typeof value !== "object") {
      // zod names the discriminator's own path.
      return [{ path, message: choiceMessage(choices, value, mayBeShown(path) ? `${quoted(value)}: ` : "") }];
    }
    return [{ path: key === undefined ? path : [...path, key], message: `write ${oneOf(choices.map(String))}` }];
  }
  const meant = issue.errors.reduce((best, errors) => (farness(errors) < farness(best) ? errors : best));
  return meant.flatMap((inner) => {
    const below = inner.path.map((part) => (typeof part === "number" ? part : String(part)));
    return findingsOfIssue(schema, valueAt(value, below), inner, [...path, ...below]);
  });
}

function discriminators(issue: UnionIssue): readonly unknown[] {
  return "options" in issue && Array.isArray(issue.options) ? (issue.options as readonly unknown[]) : [];
}

/** How far off a union member is: the wrong kind of value is worst, then a missing key, then each other fault. */
function farness(issues: readonly Issue[]): number {
  return issues.reduce((sum, issue) => {
    if (issue.code === "invalid_type" && issue.path.length === 0) return sum + 1000;
    return sum + (issue.code === "unrecognized_keys" ? 10 * issue.keys.length : 1);
  }, 0);
}

function valueAt(value: unknown, path: Path): unknown {
  let at = value;
  for (const part of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<string | number, unknown>)[part];
  }
  return at;
}
