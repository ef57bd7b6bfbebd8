/** How long and how often things are measured. */
export interface Pace {
  readonly rounds: number;
  /** Load that runs before a window is counted. */
  readonly warmMs: number;
  readonly windowMs: number;
  /** Load on every contender before the first round, so that nobody is measured cold. */
  readonly warmUpMs: number;
  /** Never-seen hosts a round. */
  readonly firstHits: number;
  /** 100 MB transfers a sample. */
  readonly bulkTimes: number;
  /** 100 MB a time through a destination that is not looked into. */
  readonly passThroughTimes: number;
  readonly latencyMs: number;
  readonly idleTunnels: number;
  readonly memoryRequests: number;
  /** What the requests of the memory survey may take; a contender that is slower is measured after fewer. */
  readonly memoryBudgetMs: number;
  /** Sessions that hold leases in the survey of what those take. */
  readonly leaseSessions: number;
  /** Of the other guest, ahead of a flood and again meanwhile. */
  readonly floodQuestions: number;
  /** Pause before memory is read. */
  readonly settleMs: number;
}

/** About 30 minutes. Many short rounds rather than few long ones: neighbours on the machine then hit all alike. */
export const FULL: Pace = {
  rounds: 6,
  warmMs: 300,
  windowMs: 1000,
  warmUpMs: 4000,
  firstHits: 12,
  bulkTimes: 2,
  passThroughTimes: 10,
  latencyMs: 2000,
  idleTunnels: 1000,
  memoryRequests: 100_000,
  memoryBudgetMs: 75_000,
  leaseSessions: 10_000,
  floodQuestions: 1000,
  settleMs: 1500,
};

/** About 7 minutes: for a look while changing something, not for a verdict. */
export const QUICK: Pace = {
  ...FULL,
  rounds: 2,
  warmMs: 200,
  windowMs: 600,
  warmUpMs: 1500,
  firstHits: 8,
  bulkTimes: 1,
  passThroughTimes: 5,
  latencyMs: 1000,
  idleTunnels: 250,
  memoryRequests: 30_000,
  memoryBudgetMs: 5_000,
  leaseSessions: 2_000,
  floodQuestions: 300,
  settleMs: 500,
};
