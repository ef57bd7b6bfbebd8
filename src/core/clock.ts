/** Time as an argument: logic never reads `Date.now()` or `performance.now()` by itself. */
export interface Clock {
  /** Milliseconds that only go forward; the one that expiry is judged by. */
  monotonicMs(): number;
  /** Milliseconds since the epoch; for records and certificates only. */
  wallMs(): number;
}
