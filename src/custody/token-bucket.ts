/** What may still be taken, and when it was last filled up. */
export interface Bucket {
  tokens: number;
  /** Monotonic ms. */
  atMs: number;
}

export interface BucketRate {
  /** What it holds at most. */
  readonly most: number;
  readonly perSecond: number;
}

/** Adds what has come since. @param nowMs monotonic clock */
export function refill(bucket: Bucket, { most, perSecond }: BucketRate, nowMs: number): void {
  bucket.tokens = Math.min(most, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * perSecond);
  bucket.atMs = nowMs;
}

/** @returns `false` when there is not a whole one */
export function takeToken(bucket: Bucket): boolean {
  if (bucket.tokens < 1) return false;
  bucket.tokens--;
  return true;
}
