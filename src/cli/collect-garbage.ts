import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { collectSegmentsWith } from "../core/segment-memory.ts";

/**
 * One thorough collection after the start: what is loaded and joined once leaves megabytes behind that V8 would otherwise keep
 * until the heap grows. `last-resort` also gives back the young generation, which has grown meanwhile, and the code of functions
 * that will not be called again. From then on the young generation is collected by the bytes that were relayed.
 */
export function collectGarbageOfStart(): void {
  const collect = exposedCollector();
  collect?.({ type: "major", execution: "sync", flavor: "last-resort" });
  // By itself V8 lets the heap of a busy edge grow to three times of what is alive before it looks for garbage. Twice costs
  // no more time; half as much again cost a fifth more for each request.
  setFlagsFromString("--heap-growing-percent=100");
  collectSegmentsWith(collect === null ? null : () => collect({ type: "minor" }));
}

type Collector = (
  options:
    | { readonly type: "minor" }
    | { readonly type: "major"; readonly execution: "sync"; readonly flavor: "last-resort" },
) => void;

/** `gc` exists only behind a flag, which is taken back at once. */
function exposedCollector(): Collector | null {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  return typeof collect === "function" ? (collect as Collector) : null;
}
