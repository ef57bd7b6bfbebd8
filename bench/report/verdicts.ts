import { type Target, targets } from "../targets.ts";
import type { Results, Spread } from "./results.ts";

export interface Verdict {
  readonly target: Target;
  /** The ratio or the figure itself; `null` when it was not measured. */
  readonly measured: Spread | null;
  readonly verdict: "met" | "missed" | "not measured";
}

/** Holds every target against what was measured. */
export function judge(results: Results): Verdict[] {
  return targets.map((target) => {
    const measured = measure(results, target);
    if (measured === null) return { target, measured, verdict: "not measured" };
    const isMet = target.sense === "at most" ? measured.median <= target.limit : measured.median >= target.limit;
    return { target, measured, verdict: isMet ? "met" : "missed" };
  });
}

function measure(results: Results, target: Target): Spread | null {
  if (target.kind === "ratio") return results.ratio({ contender: "postern", figure: target.figure }, target.to);
  return results.spread("postern", target.figure);
}
