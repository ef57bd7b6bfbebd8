import type { z } from "zod";
import { nearest } from "./nearest.ts";
import { type Finding, type Path, quoted } from "./problem.ts";
import { knownKeys } from "./schema-keys.ts";

type Issue = z.core.$ZodIssue;

/**
 * What zod found, in the words of the file, each with what to write instead.
 * @param schema what `value` was held against; asked for the keys that are known at a place
 */
export function findingsOf(schema: z.ZodType, value: unknown, issues: readonly Issue[]): Finding[] {
  const known = (path: Path): Set<string> => knownKeys(schema, value, path);
  return issues.flatMap((issue) => {
    const path = pathOf(issue);
    return findingsOfIssue(known, valueAt(value, path), issue, path);
  });
}

/** The keys that are known at a path. */
type Known = (path: Path) => Set<string>;

function findingsOfIssue(known: Known, value: unknown, issue: Issue, path: Path): Finding[] {
  const show = mayBeShown(path) ? `${quoted(value)}: ` : "";
  if (issue.code !== "unrecognized_keys" && isOwnAdvice(issue, value))
    return [{ path, message: ownMessage(issue.message, value, show) }];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => unknownKey(known(path), value, path, key));
    case "invalid_type":
      return [{ path, message: typeMessage(issue.expected, value, show) }];
    case "invalid_value":
      return [{ path, message: choiceMessage(issue.values, value, show) }];
    case "too_small":
    case "too_big":
      return [{ path, message: sizeMessage(issue, value, show) }];
    case "invalid_union":
      return unionFindings(known, value, issue, path);
    case "invalid_key":
      return [{ path, message: `not a name: ${issue.issues[0]?.message ?? "write another one"}`, atKey: true }];
    default:
      return [{ path, message: `${show}${issue.message}` }];
  }
}

/**
 * Where a schema says itself what to write (`error: "write ..."`), in place of the kind of value that is wanted. In a list or a
 * mapping that fits nowhere the members of a union have more to say.
 */
function isOwnAdvice({ code, message }: Issue, value: unknown): boolean {
  const isKind = code === "invalid_type" || code === "invalid_value";
  const isUnion = code === "invalid_union" && (typeof value !== "object" || value === null);
  return (isKind || isUnion) && message.startsWith("write ");
}

function ownMessage(advice: string, value: unknown, show: string): string {
  if (value === undefined) return `missing: ${advice}`;
  if (value === null) return `empty: ${advice}`;
  return typeof value === "object" ? advice : `${show}${advice}`;
}

function pathOf(issue: Issue): Path {
  return issue.path.map((part) => (typeof part === "number" ? part : String(part)));
}

function unknownKey(known: Set<string>, value: unknown, path: Path, key: string): Finding {
  const taken = typeof value === "object" && value !== null ? Object.keys(value) : [];
  const at = { path: [...path, key], atKey: true };
  const near = nearest(key, known);
  if (known.has(key)) {
    const others = taken.filter((other) => other !== key && known.has(other)).map(quoted);
    return { ...at, message: `does not go with ${others.join(", ")}: keep one of them` };
  }
  if (near === null) return { ...at, message: `unknown key: known here: ${[...known].join(", ")}` };
  if (taken.includes(near)) return { ...at, message: `unknown key: ${quoted(near)} is there already: take this out` };
  return { ...at, message: `unknown key: write ${quoted(near)}` };
}

/** A key that is nobody's word cannot be shown as a value either: `source` and `mint` may hold a secret that was pasted by mistake. */
function mayBeShown(path: Path): boolean {
  return !path.some((part) => part === "source" || part === "mint" || part === "value" || part === "format");
}

const EXPECTED: Readonly<Record<string, string>> = {
  string: "text",
  int: "a whole number",
  number: "a whole number",
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
function unionFindings(known: Known, value: unknown, issue: UnionIssue, path: Path): Finding[] {
  if (issue.errors.length === 0) {
    const choices = discriminators(issue);
    const show = mayBeShown(path) && value !== undefined ? `${quoted(value)}: ` : "";
    return [{ path, message: choiceMessage(choices, value, show) }];
  }
  const heads = issue.errors.map((errors) => missingKey(errors, value));
  if (!heads.includes(null))
    return noMember(
      known(path),
      heads.filter((head) => head !== null),
      value,
      path,
    );
  const meant = issue.errors.reduce((best, errors) => (farness(errors) < farness(best) ? errors : best));
  return meant.flatMap((inner) => {
    const below = pathOf(inner);
    return findingsOfIssue(known, valueAt(value, below), inner, [...path, ...below]);
  });
}

/** The key of its own that a member misses. */
function missingKey(issues: readonly Issue[], value: unknown): string | null {
  const missing = issues.find(
    (issue) => issue.code === "invalid_type" && issue.path.length === 1 && valueAt(value, pathOf(issue)) === undefined,
  );
  return missing === undefined ? null : String(missing.path[0]);
}

/** A mapping without the key of any member: its keys may be slips of them. */
function noMember(known: Set<string>, heads: readonly string[], value: unknown, path: Path): Finding[] {
  const keys = typeof value === "object" && value !== null ? Object.keys(value) : [];
  const unknown = keys.filter((key) => !known.has(key)).map((key) => unknownKey(known, value, path, key));
  const slips = keys.some((key) => nearest(key, heads) !== null);
  return slips ? unknown : [...unknown, { path, message: `write ${oneOf(heads)} in it` }];
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
