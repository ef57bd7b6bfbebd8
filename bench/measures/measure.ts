import type { Route } from "../load/route.ts";
import type { Pace } from "../pace.ts";
import type { Stage } from "../stage/stage.ts";

/** One number that the report shows. */
export interface Figure {
  /** `<measure>.<what>`; what targets refer to. */
  readonly id: string;
  readonly title: string;
  readonly digits: number;
  /** Whether the report adds the ratios between Postern and the others. */
  readonly compare?: true;
}

/** Something that is measured in every round for every contender that can take part. One file each in this folder. */
export interface Measure {
  /** What `--only` calls it. */
  readonly name: string;
  readonly title: string;
  readonly figures: readonly Figure[];
  readonly kinds: readonly Route["kind"][];
  /** @returns values by figure id */
  sample(stage: Stage, route: Route, pace: Pace, round: number): Promise<Readonly<Record<string, number>>>;
}

/** What a job may take beside the time it measures. */
export const SLACK_MS = 20_000;
