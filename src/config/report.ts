import type { Advice } from "./listen-address.ts";
import type { Finding, Path } from "./problem.ts";

/** Collects what is wrong while a config is taken apart, so that all of it is told at once. */
export class Report {
  readonly findings: Finding[] = [];

  add(path: Path, message: string, atKey = false): void {
    this.findings.push({ path, message, atKey });
  }

  /** The value, or `null` once its advice is noted. @param key what stands there of the mapping at `path`, if not all */
  take<T extends object | string>(path: Path, result: T | Advice, key?: string): T | null {
    if (typeof result !== "object" || !("advice" in result)) return result as T;
    this.add(key === undefined ? path : [...path, key], result.advice);
    return null;
  }
}
