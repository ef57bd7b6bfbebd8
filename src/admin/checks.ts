import type { Clock } from "../core/clock.ts";

/** What one check found. `detail` is for operators; nothing that a guest chose may be in it. */
export interface CheckResult {
  /** `false`: the edge must not be sent traffic. */
  readonly ok: boolean;
  /** It goes on, with less. */
  readonly degraded?: boolean;
  readonly detail: string;
}

export interface ReadinessCheck {
  readonly name: string;
  /** Cheap and synchronous: it tells what is known, it does not go and look. */
  check(): CheckResult;
}

const DAY_MS = 86_400_000;
const CA_WARNING_DAYS = 14;

/** @param notAfterMs end of the CA's life, wall clock ms; `null` when the config names none */
export function caCheck(notAfterMs: () => number | null, clock: Clock): ReadinessCheck {
  return {
    name: "ca",
    check: () => {
      const endMs = notAfterMs();
      if (endMs === null) return { ok: true, detail: "no CA is configured" };
      const days = Math.floor((endMs - clock.wallMs()) / DAY_MS);
      const end = new Date(endMs).toISOString();
      if (clock.wallMs() >= endMs) return { ok: false, detail: `expired ${end}: make a new CA and restart` };
      if (days < CA_WARNING_DAYS)
        return { ok: true, degraded: true, detail: `expires ${end}, in ${days} days: make a new CA` };
      return { ok: true, detail: `expires ${end}` };
    },
  };
}

/** What the policy tells of itself. */
export interface PolicyFacts {
  readonly version: string | null;
  readonly loadedWallMs: number | null;
  readonly destinations: number;
  /** Why the last reload was not taken over. */
  readonly problem: { readonly text: string; readonly wallMs: number } | null;
}

/** Not ready without a policy; degraded while an older one is in force because the last reload failed. */
export function policyCheck(facts: () => PolicyFacts, clock: Clock): ReadinessCheck {
  return {
    name: "policy",
    check: () => {
      const { version, loadedWallMs, destinations, problem } = facts();
      if (version === null || loadedWallMs === null) return { ok: false, detail: "no policy was loaded" };
      const age = Math.max(0, Math.round((clock.wallMs() - loadedWallMs) / 1000));
      const now = `version ${version}, ${destinations} destinations, loaded ${age} s ago`;
      if (problem === null) return { ok: true, detail: now };
      const failed = `the reload at ${new Date(problem.wallMs).toISOString()} was rejected: ${firstLine(problem.text)}`;
      return { ok: true, degraded: true, detail: `${now}; ${failed}` };
    },
  };
}

/** What is known of a custody. */
export interface CustodyFacts {
  readonly up: boolean;
  /** What it tells against itself, or `null`. */
  readonly problem: string | null;
  /** Whether what it revokes is heard of at once. */
  readonly feed?: "starting" | "following" | "lost";
}

/** Custody that does not answer degrades the edge: destinations without a credential go on. */
export function custodyCheck(custody: string, facts: () => CustodyFacts): ReadinessCheck {
  return {
    name: `custody/${custody}`,
    check: () => {
      const { up, problem, feed } = facts();
      if (!up) return { ok: true, degraded: true, detail: "does not answer; destinations that need it are refused" };
      if (problem !== null) return { ok: true, degraded: true, detail: `answers; ${firstLine(problem)}` };
      if (feed === "lost")
        return {
          ok: true,
          degraded: true,
          detail: "answers; what it revokes is not heard of: leases run to their end",
        };
      return { ok: true, detail: "answers" };
    },
  };
}

export function auditCheck(health: () => CheckResult): ReadinessCheck {
  return { name: "audit", check: health };
}

export function drainingCheck(isDraining: () => boolean): ReadinessCheck {
  return {
    name: "draining",
    check: () => (isDraining() ? { ok: false, detail: "the edge is shutting down" } : { ok: true, detail: "no" }),
  };
}

function firstLine(text: string): string {
  const line = text.split("\n", 1)[0] as string;
  return line.length > 300 ? `${line.slice(0, 300)}...` : line;
}
