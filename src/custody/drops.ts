import type { Clock } from "../core/clock.ts";
import { Denial, type DenialCode } from "../core/denial.ts";
import { reaches, type RevocationChange } from "../core/revocation.ts";
import type { KeeperEvents } from "./keeper-options.ts";
import type { KeptCustody } from "./kept-custody.ts";
import type { Releases } from "./releases.ts";
import type { Retired } from "./retired.ts";
import type { RevokedIds } from "./revoked-ids.ts";
import type { Shelf } from "./shelf.ts";
import type { Slot } from "./slot.ts";

export interface DropsOptions {
  readonly shelf: Shelf;
  readonly retired: Retired;
  readonly releases: Releases;
  readonly revokedIds: RevokedIds;
  readonly clock: Clock;
  readonly events: Partial<KeeperEvents>;
  readonly custodyOf: (name: string) => KeptCustody | undefined;
}

/** How leases leave the keeper before their time: those that are held, those on their way and those that wait to be zeroed. */
export class Drops {
  readonly #options: DropsOptions;

  constructor(options: DropsOptions) {
    this.#options = options;
  }

  /**
   * @param handBack custody is told: it does not know yet
   * @returns how many leases were dropped
   */
  where(matches: (slot: Slot) => boolean, code: DenialCode, cause: string, handBack = false): number {
    const nowMs = this.#options.clock.monotonicMs();
    let dropped = 0;
    for (const slot of this.#options.shelf.slots()) {
      if (!matches(slot)) continue;
      const { lease } = slot;
      if (lease !== null) dropped++;
      const isOut = lease !== null && !lease.isRevoked && nowMs < lease.expiresAtMs;
      if (isOut && handBack) this.#options.releases.add(this.#options.custodyOf(slot.custody), lease);
      lease?.revoke();
      slot.lease = null;
      this.#options.shelf.remove(slot, new Denial(code, { cause }));
      slot.flight?.controller.abort();
    }
    return dropped;
  }

  /** What an exchange has attached already goes on to its end; nothing new is attached. */
  revoked(custody: string, changes: readonly RevocationChange[]): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const { scope, value } of changes) if (scope === "lease") this.#options.revokedIds.add(custody, value, nowMs);
    const isRevoked = (credential: string, session: string, tenant: string, lease: string | null): boolean =>
      changes.some((change) => reaches(change, { lease, credential, session, tenant }));
    const isReached = ({ custody: of, session, credential, lease }: Slot): boolean =>
      of === custody && isRevoked(credential, session.id, session.tenant, lease?.id ?? null);
    const dropped = this.where(isReached, "lease_denied", "revoked at custody");
    this.#options.retired.revokeWhere(
      ({ id, credential, scope }, of) => of === custody && isRevoked(credential, scope.session, scope.tenant, id),
    );
    this.#options.events.revoked?.(custody, dropped);
  }

  /**
   * Nobody can tell what was revoked meanwhile: nothing that is held of this custody, or on its way from it, is used any more. Whoever
   * waits for what is on its way asks again, once: a custody that resets again before it has leased anything is no better than down.
   */
  all(custody: string): void {
    let ofVoided = 0;
    const isOver = (slot: Slot): boolean => {
      if (slot.custody !== custody) return false;
      if (slot.flight === null || slot.voided !== null) return true;
      slot.voided = slot.flight;
      slot.flight.controller.abort();
      if (slot.lease !== null) ofVoided++;
      slot.lease?.revoke();
      slot.lease = null;
      return false;
    };
    const dropped = this.where(isOver, "custody_unavailable", "custody cannot tell what it has revoked") + ofVoided;
    this.#options.retired.revokeWhere((_lease, of) => of === custody);
    this.#options.events.revoked?.(custody, dropped);
  }

  /** Each lease is asked for again at its next use, and goes on meanwhile, those on their way as well; a refusal ends it. */
  askAnew(custody: string): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const slot of this.#options.shelf.slots()) {
      if (slot.custody !== custody) continue;
      slot.refreshAtMs = 0;
      slot.askAnewAtMs = nowMs;
    }
  }
}
