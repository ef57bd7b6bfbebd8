import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * What is in use once garbage is collected. One collection does not give all back that it finds, since buffers are freed by a
 * thread of their own: poll it until it is below the limit.
 */
export function usedBytes(of: "arrayBuffers" | "heapUsed"): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage()[of];
}
