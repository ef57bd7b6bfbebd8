import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * One thorough collection after the start: what is loaded and joined once leaves megabytes behind that V8 would otherwise keep
 * until the heap grows. `last-resort` also gives back the young generation, which has grown meanwhile, and the code of functions
 * that will not be called again. `gc` exists only behind a flag, which is taken back at once.
 */
export function collectGarbageOfStart(): void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  if (typeof collect === "function") collect({ type: "major", execution: "sync", flavor: "last-resort" });
}
