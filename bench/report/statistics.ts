/** The middle of `values`; `NaN` when there are none. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * Where the true median lies as sure as 95 %, whatever the values are spread like: between two of them, counted from both
 * ends, such that a fair coin would seldom put it outside. `null` for fewer than six values, which cannot say that much.
 */
export function medianInterval(values: readonly number[]): Interval | null {
  const sorted = values.toSorted((a, b) => a - b);
  // Chance that at most `left` of the values are below the median.
  let chance = 0.5 ** sorted.length;
  let ways = 1;
  let left = -1;
  while (chance <= 0.025) {
    left++;
    ways = (ways * (sorted.length - left)) / (left + 1);
    chance += ways * 0.5 ** sorted.length;
  }
  return left < 0 ? null : { low: sorted[left] as number, high: sorted[sorted.length - 1 - left] as number };
}

/** The `q` quantile of `values`, interpolated between neighbours; `NaN` when there are none. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * q;
  const low = sorted[Math.floor(position)] as number;
  const high = sorted[Math.ceil(position)] as number;
  return low + (high - low) * (position - Math.floor(position));
}
