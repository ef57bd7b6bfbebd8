import type { Finding } from "./problem.ts";

/** What each kind of config cannot be without, and how the other kind is used. */
const KINDS = {
  edge: {
    keys: ["listeners"],
    advice:
      "this is the config of an edge: `postern serve --config FILE` runs it, `postern check --config FILE` checks it; for the store of its embedded custody `postern custody secret` wants --custody NAME",
  },
  custody: {
    keys: ["listen", "credentials"],
    advice:
      "this is the config of a custody process: `postern custody --config FILE` runs it, `postern check --custody --config FILE` checks it",
  },
} as const;

/**
 * A config that was given to the command of the other one: a page of unknown keys would be right and of no help.
 * @param wanted the kind that was asked for
 */
export function mixedUp(value: unknown, wanted: keyof typeof KINDS): readonly Finding[] | null {
  if (typeof value !== "object" || value === null) return null;
  const other = KINDS[wanted === "edge" ? "custody" : "edge"];
  const hasOwn = KINDS[wanted].keys.some((key) => Object.hasOwn(value, key));
  if (hasOwn || !other.keys.every((key) => Object.hasOwn(value, key))) return null;
  return [{ path: [], message: other.advice }];
}
