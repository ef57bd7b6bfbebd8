/** Why a run ended before it was through. */
export class EndedEarly extends Error {
  readonly isInterrupt: boolean;

  constructor(message: string, isInterrupt: boolean) {
    super(message);
    this.isInterrupt = isInterrupt;
  }
}

/** `ended` rejects with `EndedEarly` on Ctrl-C, SIGTERM, or when the time is up. A second Ctrl-C ends at once. */
export function endEarly(limitMinutes: number): { readonly ended: Promise<never>; release(): void } {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => undefined); // it is raced
  let signals = 0;
  const onSignal = (): void => {
    if (++signals > 1) process.exit(130);
    reject(new EndedEarly("interrupted", true));
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  const timer = setTimeout(
    () => reject(new EndedEarly(`${limitMinutes} minutes are over`, false)),
    limitMinutes * 60_000,
  );
  return {
    ended: promise,
    release() {
      clearTimeout(timer);
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}
