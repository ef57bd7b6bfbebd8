/** Waiting as an argument, beside the clock: tests let time pass themselves. */
export interface Timers {
  /** Runs `then` once after `ms`. @returns what stops it */
  after(ms: number, then: () => void): () => void;
}

/** Longest wait that Node's timers know, `ms`. */
const MOST_MS = 2_147_483_647;

/** Real time; a wait keeps no process alive. */
export const realTimers: Timers = {
  after(ms, then) {
    const timer = setTimeout(then, Math.min(Math.max(ms, 1), MOST_MS)).unref();
    return () => clearTimeout(timer);
  },
};
