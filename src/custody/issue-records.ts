import type { Clock } from "../core/clock.ts";
import {
  type IssueAudit,
  type IssueEvent,
  type LeaseGrant,
  LeaseRefusal,
  type LeaseRefusalReason,
  type LeaseRequest,
} from "../core/custody.ts";
import { Denial } from "../core/denial.ts";
import type { LedgerLease } from "./ledger.ts";

export interface IssueRecordsOptions {
  readonly audit: IssueAudit;
  readonly clock: Clock;
  readonly warn: (text: string) => void;
}

/** What the issuer writes down, before it answers. */
export class IssueRecords {
  readonly #options: IssueRecordsOptions;

  constructor(options: IssueRecordsOptions) {
    this.#options = options;
  }

  /** @throws LeaseRefusal `audit_unavailable`: there is no lease then */
  async issued(caller: string, request: LeaseRequest, { leaseId, resourceRef, ttlMs }: LeaseGrant): Promise<void> {
    await this.#durably({ ...this.#asked(caller, request), type: "lease_issued", leaseId, resourceRef, ttlMs });
  }

  /** @throws LeaseRefusal `audit_unavailable`: nothing has changed then */
  async changed(type: "lease_renewed" | "lease_released", lease: LedgerLease, ttlMs: number): Promise<void> {
    const { caller, session, subject, credential, place, id: leaseId, resourceRef } = lease;
    const { destination, host, port } = place;
    await this.#durably({
      type,
      wallMs: this.#options.clock.wallMs(),
      caller,
      tenant: session.tenant.name,
      session: session.id,
      subject,
      credential: credential.name,
      destination,
      host,
      port,
      purpose: "request",
      leaseId,
      resourceRef,
      ttlMs,
      reason: null,
    });
  }

  /** Refused is refused, with or without a record; but the gap in the record must be seen. Never rejects. */
  async refused(
    caller: string,
    request: LeaseRequest,
    { ref, leaseId }: { readonly ref: string; readonly leaseId: string },
    reason: LeaseRefusalReason,
  ): Promise<void> {
    try {
      const asked = this.#asked(caller, request);
      await this.#options.audit.record({
        ...asked,
        type: "lease_refused",
        leaseId,
        resourceRef: ref,
        ttlMs: 0,
        reason,
      });
    } catch (error) {
      this.#options.warn(`a refusal was not recorded: ${textOf(error)}`);
    }
  }

  #asked(
    caller: string,
    { session, credential, destination, host, port, purpose, narrow }: LeaseRequest,
  ): Omit<IssueEvent, "type" | "leaseId" | "resourceRef" | "ttlMs"> {
    const { tenant, id, subject } = session;
    const wallMs = this.#options.clock.wallMs();
    const asked = { wallMs, caller, tenant, session: id, subject, credential, destination, host, port, purpose };
    return { ...asked, ...(narrow === undefined ? {} : { narrow }), reason: null };
  }

  async #durably(event: IssueEvent): Promise<void> {
    try {
      await this.#options.audit.record(event);
    } catch (error) {
      throw new LeaseRefusal("audit_unavailable", textOf(error));
    }
  }
}

/** An audit's own words: they tell of disks, never of material. */
function textOf(error: unknown): string {
  if (error instanceof Denial) return error.detail ?? error.code;
  return error instanceof Error ? error.message : "unknown error";
}
