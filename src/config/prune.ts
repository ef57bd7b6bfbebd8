import type { z } from "zod";
import type { Finding, Path } from "./problem.ts";

/** Each round takes out what the last one found; what is deeper than this stays broken. */
const MOST_ROUNDS = 8;

/**
 * A value without what is wrong with its shape, so that the rest of it can be checked in the same run: an unknown key must not hide a
 * misspelled host. A faulty value goes with its key; a missing one, with the mapping that misses it.
 * @returns `null` when nothing sound remains
 */
export function pruned<T extends z.ZodType>(schema: T, value: unknown): z.output<T> | null {
  const rest: unknown = structuredClone(value);
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const parsed = schema.safeParse(rest);
    if (parsed.success) return parsed.data;
    if (!parsed.error.issues.every((issue) => takeOut(rest, issue))) return null;
  }
  return null;
}

function takeOut(value: unknown, issue: z.core.$ZodIssue): boolean {
  const keys = issue.code === "unrecognized_keys" ? issue.keys : null;
  if (keys === null) return remove(value, issue.path);
  return keys.map((key) => remove(value, [...issue.path, key])).every(Boolean);
}

/** Deletes the nearest key of a mapping at or above `path`; list items stay, because the others would change places. */
function remove(value: unknown, path: readonly PropertyKey[]): boolean {
  for (let length = path.length; length > 0; length--) {
    const parent = path.slice(0, length - 1).reduce(child, value);
    const key = path[length - 1] as PropertyKey;
    if (typeof parent !== "object" || parent === null || Array.isArray(parent) || !Object.hasOwn(parent, key)) continue;
    return Reflect.deleteProperty(parent, key);
  }
  return false;
}

function child(value: unknown, key: PropertyKey): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined;
}

/**
 * Findings about sound parts that are not mere consequences of faulty shape: what was taken out must not be called missing.
 * @param shape what is wrong with the shape of the same file
 */
export function independent(findings: readonly Finding[], shape: readonly Finding[]): Finding[] {
  const faulty = new Set(shape.map(({ path }) => key(path)));
  const around = new Set(shape.flatMap(({ path }) => path.map((_, i) => key(path.slice(0, i + 1)))));
  return findings.filter(({ path, atKey }) => {
    if (path.some((_, i) => faulty.has(key(path.slice(0, i + 1))))) return false;
    // What is there or not there hangs on its neighbours.
    return atKey !== true || !around.has(key(path.length > 1 ? path.slice(0, -1) : path));
  });
}

function key(path: Path): string {
  return JSON.stringify(path);
}
