import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * One full collection after the start: reading a config and compiling a policy leaves tens of megabytes behind that V8 would
 * otherwise keep until the heap grows. `gc` exists only behind a flag, which is taken back at once.
 */
export function collectGarbageOfStart(): void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  if (typeof collect === "function") collect();
}
