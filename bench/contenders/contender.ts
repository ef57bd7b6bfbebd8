import type { Route } from "../load/route.ts";
import type { Stage } from "../stage/stage.ts";

/** A proxy that the bench can start. One file each in this folder. */
export interface Contender {
  readonly name: string;
  readonly kind: Route["kind"];
  /** Measures that it cannot take part in, although its kind could; its file says why. */
  readonly without?: readonly string[];
  /** Version text, or why it cannot take part on this machine. */
  inspect(): { readonly version: string } | { readonly absent: string };
  /**
   * Starts it in a folder of its own, ready to serve `destinations` names.
   * @throws Error with the log's tail when it does not come up
   */
  start(stage: Stage, settings: StartSettings): Promise<Running>;
}

/** What it is to serve. The last three are for surveys that are taken of Postern alone; others know nothing of them. */
export interface Serving {
  /** Size of the allow-list. */
  readonly destinations: number;
  /** Life of a lease, `s`; left out: 900. */
  readonly leaseSeconds?: number;
  /** Port of an upstream that is flooded, with short times for those who do it; left out: none. */
  readonly floodedPort?: number;
  /** Serves a destination that is signed for as AWS wants it as well, and its twin with a bearer token. */
  readonly signs?: boolean;
}

export interface StartSettings extends Serving {
  /** Folder that exists and is empty. */
  readonly folder: string;
  /** Folder for a CPU profile of Postern, written when it ends; `null`: none, since profiling costs. */
  readonly profiles: string | null;
}

export interface Running {
  readonly route: Route;
  /** Log files that may be truncated between rounds: opened in append mode by what writes them. */
  readonly logs: readonly string[];
  hasEnded(): boolean;
  stop(): Promise<void>;
}
