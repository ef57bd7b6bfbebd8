import type { BulkJob } from "./bulk.ts";
import type { DenialsJob } from "./denials.ts";
import type { HoldJob, ReleaseJob } from "./held-tunnels.ts";
import type { KeepAliveJob, RequestsJob } from "./keep-alive.ts";
import type { LatencyJob } from "./latency.ts";
import type { FirstHitsJob, TunnelsJob } from "./tunnels.ts";

/** Everything that the load generator can be asked for. */
export type LoadJob =
  | KeepAliveJob
  | RequestsJob
  | TunnelsJob
  | FirstHitsJob
  | BulkJob
  | DenialsJob
  | LatencyJob
  | HoldJob
  | ReleaseJob;
