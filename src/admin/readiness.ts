import type { CheckResult, ReadinessCheck } from "./checks.ts";

export interface ReadinessReport {
  readonly status: "ready" | "degraded" | "unready";
  readonly checks: readonly { readonly name: string; readonly status: string; readonly detail: string }[];
}

/** Asks every check. One that throws counts as failed: what cannot be told is not ready. */
export function readiness(checks: readonly ReadinessCheck[], onError: (error: unknown) => void): ReadinessReport {
  const found = checks.map((check) => {
    const result = askOne(check, onError);
    const status = !result.ok ? "failed" : result.degraded === true ? "degraded" : "ok";
    return { name: check.name, status, detail: result.detail };
  });
  const has = (status: string): boolean => found.some((one) => one.status === status);
  return { status: has("failed") ? "unready" : has("degraded") ? "degraded" : "ready", checks: found };
}

function askOne(check: ReadinessCheck, onError: (error: unknown) => void): CheckResult {
  try {
    return check.check();
  } catch (error) {
    onError(error);
    return { ok: false, detail: "the check itself failed; see the log" };
  }
}
