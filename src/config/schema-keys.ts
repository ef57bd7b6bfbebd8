import { z } from "zod";
import type { Path } from "./problem.ts";

/**
 * The keys that a strict schema knows at `path`.
 * @param value what the schema was held against: of a union, the members whose literals it fits count, or all
 */
export function knownKeys(schema: z.ZodType, value: unknown, path: Path): Set<string> {
  let here = [schema];
  let at = value;
  for (const part of path) {
    here = here.flatMap((member) => below(member, at, part));
    at = typeof at === "object" && at !== null ? (at as Record<string | number, unknown>)[part] : undefined;
  }
  const objects = here.flatMap((member) => members(member, at)).filter((member) => member instanceof z.ZodObject);
  return new Set(objects.flatMap((member) => Object.keys(member.shape)));
}

/** What a schema says about one step down. */
function below(schema: z.ZodType, value: unknown, part: string | number): z.ZodType[] {
  return members(schema, value).flatMap((member) => {
    if (member instanceof z.ZodObject) {
      const found: unknown = member.shape[String(part)];
      return found instanceof z.ZodType ? [found] : [];
    }
    if (member instanceof z.ZodArray) return [member.element as z.ZodType];
    if (member instanceof z.ZodRecord) return [member.valueType as z.ZodType];
    return [];
  });
}

/** Takes defaults, optionals and unions off. */
function members(schema: z.ZodType, value: unknown): z.ZodType[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return members(schema.unwrap() as z.ZodType, value);
  if (!(schema instanceof z.ZodUnion)) return [schema];
  const all = (schema.options as z.ZodType[]).flatMap((option) => members(option, value));
  const fitting = all.filter((option) => fits(option, value));
  return fitting.length > 0 ? fitting : all;
}

/** Whether a mapping says the words that are fixed in a member, such as `as: bearer`. */
function fits(schema: z.ZodType, value: unknown): boolean {
  if (!(schema instanceof z.ZodObject) || typeof value !== "object" || value === null) return false;
  const literals = Object.entries(schema.shape).filter(([, child]) => child instanceof z.ZodLiteral);
  return literals.length > 0 && literals.every(([key, child]) => child.safeParse(Reflect.get(value, key)).success);
}
