import type { Registry } from "prom-client";
import eventLoopLag from "prom-client/lib/metrics/eventLoopLag.js";
import gc from "prom-client/lib/metrics/gc.js";
import heapSizeAndUsed from "prom-client/lib/metrics/heapSizeAndUsed.js";
import heapSpacesSizeAndUsed from "prom-client/lib/metrics/heapSpacesSizeAndUsed.js";
import osMemoryHeap from "prom-client/lib/metrics/osMemoryHeap.js";
import processHandles from "prom-client/lib/metrics/processHandles.js";
import processMaxFileDescriptors from "prom-client/lib/metrics/processMaxFileDescriptors.js";
import processOpenFileDescriptors from "prom-client/lib/metrics/processOpenFileDescriptors.js";
import processRequests from "prom-client/lib/metrics/processRequests.js";
import processResources from "prom-client/lib/metrics/processResources.js";
import processStartTime from "prom-client/lib/metrics/processStartTime.js";
import version from "prom-client/lib/metrics/version.js";
import { counterFamily, only } from "./families.ts";

/**
 * Metrics of the process and of Node: all that prom-client has by default. Its own CPU counters are the one part that is
 * written here: for the sake of exemplars, which nobody asks for, that file loads the OpenTelemetry API, and with `index.js`
 * it is in every process.
 */
const PARTS = [
  eventLoopLag,
  gc,
  heapSizeAndUsed,
  heapSpacesSizeAndUsed,
  osMemoryHeap,
  processHandles,
  processMaxFileDescriptors,
  processOpenFileDescriptors,
  processRequests,
  processResources,
  processStartTime,
  version,
];

/** Gauges of the library whose names say that they are counters; the same figures are there by type, well named. */
const MISNAMED = ["nodejs_active_handles_total", "nodejs_active_requests_total", "nodejs_active_resources_total"];

/** How often the event loop is looked at, `ms`. */
const LOOP_PRECISION_MS = 10;

export function registerProcessMetrics(registry: Registry): void {
  for (const register of PARTS) register(registry, { eventLoopMonitoringPrecision: LOOP_PRECISION_MS });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  const cpu = (name: string, help: string, microseconds: () => number): void =>
    counterFamily(registry, { name, help, read: () => only(microseconds() / 1e6) });
  cpu("process_cpu_user_seconds_total", "Total user CPU time spent in seconds.", () => process.cpuUsage().user);
  cpu("process_cpu_system_seconds_total", "Total system CPU time spent in seconds.", () => process.cpuUsage().system);
  cpu("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  });
}
