import type { Advice } from "./listen-address.ts";
import type { Finding, Path } from "./problem.ts";

/** Collects what is wrong while a config is taken apart, so that all of it is told at once. */
export class Report {
  readonly findings: Finding[] = [];

  add(path: Path, message: string, atKey = false): void {
    this.findings.push({ path, message, atKey });
  }

  /** The value, or `null` once its advice is noted. */
  take<T extends object | string>(path: Path, result: T | Advice): T | null {
    if (typeof result !== "object" || !("advice" in result)) return result as T;
    this.add(path, result.advice);
    return null;
  }
}
