import { z } from "zod";
import type { Path } from "./problem.ts";

/** The keys that a strict schema knows at `path`; of a union, those of every member. */
export function knownKeys(schema: z.ZodType, path: Path): Set<string> {
  let here = [schema];
  for (const part of path) here = here.flatMap((member) => below(member, part));
  return new Set(
    here.flatMap(members).flatMap((member) => (member instanceof z.ZodObject ? Object.keys(member.shape) : [])),
  );
}

/** What a schema says about one step down. */
function below(schema: z.ZodType, part: string | number): z.ZodType[] {
  return members(schema).flatMap((member) => {
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
function members(schema: z.ZodType): z.ZodType[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return members(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodUnion) return (schema.options as z.ZodType[]).flatMap(members);
  return [schema];
}
