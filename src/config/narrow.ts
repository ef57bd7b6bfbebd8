import { z } from "zod";
import type { CredentialRef } from "../core/destination.ts";
import { narrowableOf } from "../core/mint.ts";
import {
  canonicalNarrowing,
  MOST_NARROW_CHARS,
  MOST_NARROW_NAMES,
  MOST_NARROW_VALUES,
  NARROW_NAME,
  narrowingChars,
  outsideOf,
} from "../core/narrow.ts";
import type { FoundCredential } from "./credential-book.ts";
import { nearest } from "./nearest.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";

/** `narrow:` beside `credential:`. */
export const narrowSchema = z
  .record(
    z.string().regex(NARROW_NAME, "write a name such as scopes, of small letters, digits and underscores"),
    z
      .array(z.string().regex(/^[!-~](?:[ -~]{0,510}[!-~])?$/, "write 1 to 512 printable ASCII characters"))
      .min(1)
      .max(MOST_NARROW_VALUES),
  )
  .refine((narrow) => Object.keys(narrow).length > 0, "empty: write what to narrow, or leave it out")
  .refine(
    (narrow) => Object.keys(narrow).length <= MOST_NARROW_NAMES && narrowingChars(narrow) <= MOST_NARROW_CHARS,
    `too long: write at most ${MOST_NARROW_NAMES} names and ${MOST_NARROW_CHARS} characters`,
  );

export type RawNarrow = z.output<typeof narrowSchema>;

/**
 * What a destination refers to, narrowed. What custody would refuse at every issue is a fault of the config where the
 * catalogue is known.
 * @param path of the place that says `credential:` and `narrow:`
 */
export function narrowedRef(
  found: FoundCredential | null,
  raw: RawNarrow | undefined,
  path: Path,
  report: Report,
): CredentialRef | null {
  if (found === null || raw === undefined) return found?.ref ?? null;
  if (found.entry !== null) {
    const { name, mint } = found.entry;
    const lists = narrowableOf(mint);
    const outside = outsideOf(lists, raw);
    if (outside !== null) {
      const { name: key, value } = outside;
      const list = Object.hasOwn(lists, key) ? (lists[key] ?? []) : [];
      const at = [...path, "narrow", key];
      if (mint === null)
        report.add(at, `credential ${quoted(name)} has no mint: its leases cannot be narrowed: leave it out`, true);
      else if (list.length === 0)
        report.add(at, `credential ${quoted(name)} has no ${key}: ${otherNames(key, lists)}`, true);
      else
        report.add(at, `${quoted(value)}: not within ${key} of credential ${quoted(name)}: ${nearOrAll(value, list)}`);
    }
  }
  return Object.freeze({ ...found.ref, narrow: canonicalNarrowing(raw) });
}

function otherNames(key: string, lists: Readonly<Record<string, readonly string[]>>): string {
  const names = Object.keys(lists).filter((name) => (lists[name] ?? []).length > 0);
  const near = nearest(key, names);
  if (near !== null) return `write ${quoted(near)}`;
  return names.length === 0 ? "write them into its mint first" : `it has ${names.join(", ")}: write one of them`;
}

function nearOrAll(value: string | null, list: readonly string[]): string {
  const near = value === null ? null : nearest(value, list);
  return near === null ? `write one of ${list.slice(0, 5).map(quoted).join(", ")}` : `write ${quoted(near)}`;
}
