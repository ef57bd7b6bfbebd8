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
  /** It is not sampled, but is this figure less that of `direct` in the same round: what a contender adds. */
  readonly lessDirect?: string;
}

/** What a sample says of a contender that did not choose the protocol which is measured; it is not asked again. */
export const NOT_SPOKEN = "not spoken";

/** Something that is measured in every round for every contender that can take part. One file each in this folder. */
export interface Measure {
  /** What `--only` calls it. */
  readonly name: string;
  readonly title: string;
  readonly figures: readonly Figure[];
  readonly kinds: readonly Route["kind"][];
  /** @returns values by figure id */
  sample(stage: Stage, route: Route, pace: Pace, round: number): Promise<Sample>;
}

export type Sample = Readonly<Record<string, number>> | typeof NOT_SPOKEN;

/** What a job may take beside the time it measures. */
export const SLACK_MS = 20_000;
