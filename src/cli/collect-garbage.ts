import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { collectSegmentsWith } from "../core/segment-memory.ts";

/**
 * One full collection after the start: reading a config and compiling a policy leaves tens of megabytes behind that V8 would
 * otherwise keep until the heap grows. From then on the young generation is collected by the bytes that were relayed.
 */
export function collectGarbageOfStart(): void {
  const collect = exposedCollector();
  collect?.();
  collectSegmentsWith(collect === null ? null : () => collect({ type: "minor" }));
}

type Collector = (options?: { readonly type: "minor" }) => void;

/** `gc` exists only behind a flag, which is taken back at once. */
function exposedCollector(): Collector | null {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  return typeof collect === "function" ? (collect as Collector) : null;
}
