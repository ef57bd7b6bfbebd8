import { Denial } from "../core/denial.ts";

/**
 * One call to custody with an end: it settles when the call does, when its time is over, or when it is cancelled, whichever
 * is first, also when the called side does not listen to its signal.
 * @param discard is given an answer that came when nobody waited for it any more
 * @throws Denial `custody_unavailable` when it was cut; else what the call threw
 */
export async function within<T>(
  timeoutMs: number,
  cancelled: AbortSignal,
  call: (signal: AbortSignal) => Promise<T>,
  discard: (late: T) => void,
): Promise<T> {
  const timeout = new AbortController();
  const signal = AbortSignal.any([cancelled, timeout.signal]);
  const cut = Promise.withResolvers<never>();
  let isCut = false;
  const onAbort = () => {
    isCut = true;
    const cause = cancelled.aborted ? "the call was cancelled" : `no answer within ${timeoutMs} ms`;
    cut.reject(new Denial("custody_unavailable", { cause }));
  };
  const timer = setTimeout(() => timeout.abort(), timeoutMs);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (cancelled.aborted) onAbort();
    return await Promise.race([cut.promise, answer()]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }

  async function answer(): Promise<T> {
    const value = await call(signal);
    if (isCut) discard(value);
    return value;
  }
}
