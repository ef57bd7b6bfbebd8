import type { Running, Serving } from "../contenders/contender.ts";
import type { Figure } from "../measures/measure.ts";
import type { Pace } from "../pace.ts";
import type { Results } from "../report/results.ts";
import type { Stage } from "../stage/stage.ts";

/** Something that is taken once a run, on processes of its own. One file each in this folder. */
export interface Survey {
  /** What `--only` calls it. */
  readonly name: string;
  readonly title: string;
  readonly figures: readonly Figure[];
  /** Of every proxy that ends TLS, or of what only Postern has. */
  readonly of: "every proxy" | "postern";
  take(of: Surveyed): Promise<void>;
}

export interface Surveyed {
  readonly stage: Stage;
  /** Whom the figures are of. */
  readonly contender: string;
  /** Begins a fresh process; whoever calls it stops it. */
  readonly start: (serving: Serving) => Promise<Running>;
  readonly pace: Pace;
  readonly results: Results;
  readonly say: (line: string) => void;
}
