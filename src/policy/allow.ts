import type { DenialCode } from "../core/denial.ts";
import type { Fields } from "../core/fields.ts";
import { readsAnother } from "./override.ts";
import type { TargetReading } from "./path.ts";
import type { PathPattern, TextPattern } from "./pattern.ts";
import type { QueryRules } from "./query.ts";

/** One compiled `allow` entry. Everything that is written must hold. */
export interface AllowEntry {
  /** `allow[2]`. */
  readonly rule: string;
  /** `null`: any. */
  readonly methods: readonly string[] | null;
  /** Spelled `/**`: no reading of a path can lie outside. */
  readonly anyPath: boolean;
  readonly paths: readonly PathPattern[];
  /** `paths`, and what remains of them when their own encoded delimiters are read as real ones. */
  readonly readablePaths: readonly PathPattern[];
  readonly query: QueryRules | null;
  readonly headers: readonly HeaderRule[] | null;
}

export interface HeaderRule {
  /** Lower case. */
  readonly name: string;
  readonly values: readonly TextPattern[];
}

/** Why an entry does not allow a request: the first of path, method, query and headers that does not hold. */
export type Refusal = Extract<
  DenialCode,
  "ambiguous_path" | "path_not_allowed" | "method_not_allowed" | "query_not_allowed" | "header_not_allowed"
>;

/** @returns `null` when the entry allows the request */
export function refusalOf(entry: AllowEntry, method: string, target: TargetReading, fields: Fields): Refusal | null {
  const path = pathVerdict(entry, target);
  if (path === "outside") return "path_not_allowed";
  if (path === "ambiguous") return "ambiguous_path";
  if (!methodFits(entry, method)) return "method_not_allowed";
  if (entry.query !== null && !entry.query.allows(target.query)) return "query_not_allowed";
  if (entry.headers !== null && !headersFit(entry.headers, fields)) return "header_not_allowed";
  return readsAnother(entry, fields) ? "header_not_allowed" : null;
}

export function methodFits({ methods }: AllowEntry, method: string): boolean {
  return methods === null || methods.includes(method);
}

function pathVerdict(entry: AllowEntry, target: TargetReading): "inside" | "outside" | "ambiguous" {
  if (target.malformed !== null) return "ambiguous";
  if (entry.query !== null && (target.hidesQuery || target.doubt !== null)) return "ambiguous";
  if (entry.anyPath) return "inside";
  if (target.doubt !== null) return "ambiguous";
  const spelled = someMatch(entry.paths, target.path);
  if (target.others.length === 0) return spelled ? "inside" : "outside";
  let readings = 0;
  for (const reading of target.others) if (someMatch(entry.readablePaths, reading)) readings++;
  if (spelled && readings === target.others.length) return "inside";
  return spelled || readings > 0 ? "ambiguous" : "outside";
}

function someMatch(patterns: readonly PathPattern[], path: string): boolean {
  for (const pattern of patterns) if (pattern.matches(path)) return true;
  return false;
}

/** Each named field is there, and each of its lines matches. */
function headersFit(rules: readonly HeaderRule[], fields: Fields): boolean {
  for (const { name, values } of rules) {
    const lines = fields.all(name);
    if (lines.length === 0) return false;
    for (const line of lines) if (!values.some((value) => value.matches(line))) return false;
  }
  return true;
}
