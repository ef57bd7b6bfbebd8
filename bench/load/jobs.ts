import type { BulkJob } from "./bulk.ts";
import type { DenialsJob } from "./denials.ts";
import type { EventsJob } from "./events.ts";
import type { HoldJob, ReleaseJob } from "./held-tunnels.ts";
import type { Http2Job } from "./http2.ts";
import type { KeepAliveJob, RequestsJob } from "./keep-alive.ts";
import type { Http2LatencyJob } from "./http2-latency.ts";
import type { LatencyJob } from "./latency.ts";
import type { LeasesJob } from "./leases.ts";
import type { OpaqueJob } from "./opaque.ts";
import type { RotationJob } from "./rotation.ts";
import type { FirstHitsJob, TunnelsJob } from "./tunnels.ts";
import type { UploadJob } from "./upload.ts";
import type { MessagesJob, PingPongJob } from "./websocket.ts";

/** Everything that the load generator can be asked for. */
export type LoadJob =
  | KeepAliveJob
  | RequestsJob
  | TunnelsJob
  | FirstHitsJob
  | BulkJob
  | DenialsJob
  | LatencyJob
  | Http2Job
  | Http2LatencyJob
  | MessagesJob
  | PingPongJob
  | EventsJob
  | OpaqueJob
  | RotationJob
  | UploadJob
  | LeasesJob
  | HoldJob
  | ReleaseJob;
