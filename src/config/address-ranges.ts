import type { IpRange } from "../core/ip.ts";
import { parseAddresses } from "./host.ts";
import type { Path } from "./problem.ts";
import type { Report } from "./report.ts";

const NONE: readonly never[] = Object.freeze([]);

/** `addresses:` of a destination or a parent. @param path of what holds them */
export function addressRanges(texts: readonly string[], path: Path, report: Report): readonly IpRange[] {
  // Most have none, and there can be a hundred thousand.
  if (texts.length === 0) return NONE;
  return Object.freeze(texts.flatMap((text, i) => report.take([...path, "addresses", i], parseAddresses(text)) ?? []));
}
