import { systemClock } from "./edge/system.ts";

/** npm hands on the Ctrl-C that the terminal sent to the whole group already: two signals, one wish. */
const ECHO_MS = 1000;

/**
 * Waits for SIGTERM or SIGINT, then runs `stop` once; a second signal, a moment later, ends the process at once, for whoever
 * cannot wait for the drain.
 * @param more further signals that say the same, such as SIGHUP where a closed terminal means the end
 */
export function runUntilStopped(stop: () => Promise<void>, more: readonly NodeJS.Signals[] = []): Promise<void> {
  return new Promise((resolve, reject) => {
    let stoppingSinceMs: number | null = null;
    const onSignal = (): void => {
      const nowMs = systemClock.monotonicMs();
      if (stoppingSinceMs === null) {
        stoppingSinceMs = nowMs;
        stop().then(resolve, reject);
      } else if (nowMs - stoppingSinceMs > ECHO_MS) process.exit(130);
    };
    for (const signal of ["SIGTERM", "SIGINT", ...more] as const) process.on(signal, onSignal);
  });
}
