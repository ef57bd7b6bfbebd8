import { serveJobs } from "../wire/worker.ts";
import { bulk } from "./bulk.ts";
import { denials } from "./denials.ts";
import { events } from "./events.ts";
import { holdTunnels, releaseTunnels } from "./held-tunnels.ts";
import type { LoadJob } from "./jobs.ts";
import { fixedRequests, keepAlive } from "./keep-alive.ts";
import { http2Requests } from "./http2.ts";
import { http2Latency } from "./http2-latency.ts";
import { latency } from "./latency.ts";
import { leases } from "./leases.ts";
import { opaque } from "./opaque.ts";
import { rotation } from "./rotation.ts";
import { firstHits, tunnels } from "./tunnels.ts";
import { upload } from "./upload.ts";
import { messages, pingPong } from "./websocket.ts";

/** The load generator's process: takes jobs from the bench, one at a time. */
serveJobs((job: LoadJob): Promise<unknown> => {
  switch (job.kind) {
    case "keepalive":
      return keepAlive(job);
    case "requests":
      return fixedRequests(job);
    case "tunnels":
      return tunnels(job);
    case "first-hits":
      return firstHits(job);
    case "bulk":
      return bulk(job);
    case "denials":
      return denials(job);
    case "latency":
      return latency(job);
    case "http2":
      return http2Requests(job);
    case "http2-latency":
      return http2Latency(job);
    case "messages":
      return messages(job);
    case "ping-pong":
      return pingPong(job);
    case "events":
      return events(job);
    case "opaque":
      return opaque(job);
    case "rotation":
      return rotation(job);
    case "upload":
      return upload(job);
    case "leases":
      return leases(job);
    case "hold":
      return holdTunnels(job);
    case "release":
      return Promise.resolve(releaseTunnels());
  }
});
