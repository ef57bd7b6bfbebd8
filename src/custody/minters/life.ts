import type { Clock } from "../../core/clock.ts";
import type { IssuerAnswer } from "../outbound.ts";
import { endOnMonotonic } from "../latest-wall.ts";

/** No result is taken to live longer, `ms`. */
const MOST_LIFE_MS = 24 * 3_600_000;

/**
 * `expires_in` of an answer: whole seconds, as a number or as digits, which some issuers write.
 * @returns `ms`, or `null` when it says nothing that can be read; never more than a day
 */
export function lifeOfSeconds(value: unknown): number | null {
  const seconds = typeof value === "string" && /^\d{1,12}$/.test(value) ? Number(value) : value;
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return null;
  return Math.min(MOST_LIFE_MS, Math.floor(seconds * 1000));
}

/**
 * When what ends at a time of day ends on the monotonic clock. The time of day is the issuer's: where the answer tells what
 * its clock says, both clocks are asked and the earlier end counts, so that a clock of this side that was set back lengthens
 * nothing.
 * @param endWallMs ms since the epoch
 * @param startedAtMs monotonic ms before the request was sent: a slow answer shortens the life, never the other way round
 * @param mostMs longest life that the issuer gives, `ms`
 * @returns monotonic ms
 */
export function endOfWallTime(
  endWallMs: number,
  { serverWallMs }: Pick<IssuerAnswer, "serverWallMs">,
  clock: Clock,
  startedAtMs: number,
  mostMs: number,
): number {
  const byThisClock = endOnMonotonic(clock, endWallMs);
  const byItsClock = startedAtMs + endWallMs - (serverWallMs ?? Number.NEGATIVE_INFINITY);
  return Math.min(startedAtMs + mostMs, byThisClock, byItsClock);
}
