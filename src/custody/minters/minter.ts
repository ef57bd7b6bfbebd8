import type { LeaseRequest } from "../../core/custody.ts";
import type { Material } from "../../core/material.ts";

/** Turns the root of a credential into the material of one lease. One contract test holds every minter to this. */
export interface Minter {
  /** Longest time that one mint may take, its sources included, `ms`. */
  readonly timeoutMs: number;
  /** Custody ends what was minted when it ends itself; left out: it lives on to its own end. */
  readonly endsWithCustody?: true;
  /**
   * @param ask what the lease is for; what is minted is never wider than that, nor than the entry
   * @param fresh the upstream refused what was minted last: nothing that is held will do
   * @param signal nobody waits any more; the promise then rejects soon
   * @throws SourceError when there is nothing to be had; LeaseRefusal when this must not be minted
   */
  mint(ask: LeaseRequest, fresh: boolean, signal: AbortSignal): Promise<Minted>;
  /** Zeroes what is held and ends what runs. */
  close(): void;
}

export interface Minted {
  /** Belongs to the receiver, who zeroes it. */
  readonly material: Material;
  /** Monotonic ms from which on it is dead, or `null` when nobody tells. */
  readonly expiresAtMs: number | null;
  /** Gives back at its issuer what was minted for this lease alone; `null` where there is nothing to give back. Never rejects. */
  readonly release: (() => Promise<void>) | null;
}
