import type { Clock } from "../core/clock.ts";

/** By how much the wall clock was ahead of the monotonic one at most, `ms`, for each clock that was asked. */
const ahead = new WeakMap<Clock, number>();

/**
 * The time of day for judging when something ends: it goes on as the monotonic clock does, and never back, so that a wall clock that
 * is set back lengthens nothing that is read after it. A clock that was wrong before, and was put right, ends things too early until
 * the process is started anew: closed, not open. Not for the time that is written into something: that is `clock.wallMs()`.
 * @returns ms since the epoch
 */
export function latestWallMs(clock: Clock): number {
  const monotonicMs = clock.monotonicMs();
  const aheadMs = Math.max(ahead.get(clock) ?? Number.NEGATIVE_INFINITY, clock.wallMs() - monotonicMs);
  ahead.set(clock, aheadMs);
  return monotonicMs + aheadMs;
}

/** When what ends at a time of day ends on the monotonic clock, `ms`. @param endWallMs ms since the epoch */
export function endOnMonotonic(clock: Clock, endWallMs: number): number {
  return endWallMs - latestWallMs(clock) + clock.monotonicMs();
}

/** The earlier of two ends; `null` is one that nobody tells. */
export function sooner(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return Math.min(one, other);
}
