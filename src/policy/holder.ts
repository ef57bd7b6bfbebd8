import type { Authority } from "../core/authority.ts";
import { Denial } from "../core/denial.ts";
import type { Ask, Permit, Session } from "../core/exchange.ts";
import type { PolicyPort } from "../core/ports.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";

/** Where a policy came from. */
export interface PolicyOrigin {
  /** Digest of what it was compiled from. */
  readonly version: string;
  /** Wall clock, ms since the epoch. */
  readonly loadedWallMs: number;
}

/** What readiness and metrics tell about the policy. */
export interface PolicyState {
  /** `null` until the first policy is there. */
  readonly version: string | null;
  readonly loadedWallMs: number | null;
  readonly destinations: number;
  /** Why the last reload was not taken over; `null` once a later one was. */
  readonly problem: { readonly text: string; readonly wallMs: number } | null;
}

/**
 * The policy in force. A swap is one assignment: every decision is made on the old policy or on the new one, never on both.
 * A reload that failed leaves the old policy in force and is told until one succeeds. Without any policy all is refused.
 */
export class PolicyHolder implements PolicyPort {
  #policy: CompiledPolicy | null = null;
  #origin: PolicyOrigin | null = null;
  #problem: PolicyState["problem"] = null;

  swap(policy: CompiledPolicy, origin: PolicyOrigin): void {
    this.#policy = policy;
    this.#origin = origin;
    this.#problem = null;
  }

  /** A new policy could not be read or compiled. @param wallMs wall clock, ms since the epoch */
  reloadFailed(text: string, wallMs: number): void {
    this.#problem = { text, wallMs };
  }

  get state(): PolicyState {
    return {
      version: this.#origin?.version ?? null,
      loadedWallMs: this.#origin?.loadedWallMs ?? null,
      destinations: this.#policy?.size ?? 0,
      problem: this.#problem,
    };
  }

  /** The policy in force. @throws Denial `policy_unavailable` before the first one */
  get policy(): CompiledPolicy {
    if (this.#policy === null) throw new Denial("policy_unavailable", { cause: "no policy was loaded" });
    return this.#policy;
  }

  admit(session: Session, authority: Authority): Permit | Denial {
    return this.policy.admit(session, authority);
  }

  spells(authority: Authority): boolean {
    return this.policy.spells(authority);
  }

  decide(session: Session, ask: Ask): Permit {
    return this.policy.decide(session, ask);
  }
}
