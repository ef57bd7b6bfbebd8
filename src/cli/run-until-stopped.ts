import { systemClock } from "./edge/system.ts";

/** npm hands on the Ctrl-C that the terminal sent to the whole group already: two signals, one wish. */
const ECHO_MS = 1000;

/**
 * Listens for SIGTERM and SIGINT from now on; a second signal, a moment later, ends the process at once, for whoever cannot
 * wait for the drain.
 * @param more further signals that say the same, such as SIGHUP where a closed terminal means the end
 * @returns resolves with the first signal
 */
export function stopAsked(more: readonly NodeJS.Signals[] = []): Promise<void> {
  return new Promise((resolve) => {
    let stoppingSinceMs: number | null = null;
    const onSignal = (): void => {
      const nowMs = systemClock.monotonicMs();
      if (stoppingSinceMs === null) {
        stoppingSinceMs = nowMs;
        resolve();
      } else if (nowMs - stoppingSinceMs > ECHO_MS) process.exit(130);
    };
    for (const signal of ["SIGTERM", "SIGINT", ...more] as const) process.on(signal, onSignal);
  });
}

/** Waits for SIGTERM or SIGINT, then runs `stop` once. @param asked when the signals are listened for already */
export async function runUntilStopped(stop: () => Promise<void>, asked: Promise<void> = stopAsked()): Promise<void> {
  await asked;
  await stop();
}
