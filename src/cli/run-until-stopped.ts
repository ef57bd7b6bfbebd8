/**
 * Waits for SIGTERM or SIGINT, then runs `stop` once; a second signal ends the process at once, for whoever cannot wait for
 * the drain.
 */
export function runUntilStopped(stop: () => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    let stopping = false;
    const onSignal = (): void => {
      if (stopping) process.exit(130);
      stopping = true;
      stop().then(resolve, reject);
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
}
