import type { IssueAudit, OperatorEvent } from "../core/custody.ts";
import { LeaseRefusal } from "../core/custody.ts";
import { Denial } from "../core/denial.ts";
import { narrowKey } from "../core/narrow.ts";
import { reaches, type RevocationTarget } from "../core/revocation.ts";
import type { Approval, Approvals } from "./approvals.ts";
import type { Ledger } from "./ledger.ts";
import type { Revocation } from "./revocation-record.ts";
import type { Revocations } from "./revocations.ts";

export interface Desk {
  readonly ledger: Ledger;
  readonly revocations: Revocations;
  readonly approvals: Approvals;
  readonly audit: IssueAudit;
}

/** What operators do. Each takes effect once its record is durable and is refused otherwise: then nothing has changed. */
export class Operations {
  readonly #desk: Desk;

  constructor(desk: Desk) {
    this.#desk = desk;
  }

  /**
   * Revokes: no new lease, no renewal, and edges are told to drop what they hold.
   * @returns the revocation, and how many leases it ended
   * @throws LeaseRefusal `audit_unavailable`, `state_unavailable`, `overloaded`
   */
  async revoke(
    caller: string,
    target: RevocationTarget,
    reason: string,
  ): Promise<{ made: Revocation; leases: number }> {
    const { ledger, revocations, approvals } = this.#desk;
    const made = await revocations.make(target, reason, caller, ({ id, untilMs }) =>
      this.#record({
        type: "revocation_made",
        caller,
        ...targetFacts(target, { revocation: id, reason, ...(untilMs === null ? {} : { until_ms: untilMs }) }),
      }),
    );
    approvals.dropWhere((approval) => reaches(target, { ...approval, lease: null }));
    return { made, leases: ledger.revoke(target) };
  }

  /** Lifts a revocation; leases that it ended stay ended. @throws LeaseRefusal as `revoke`, `nothing_of_this_id` */
  async lift(caller: string, id: string): Promise<Revocation> {
    return await this.#desk.revocations.lift(id, (revocation) =>
      this.#record({ type: "revocation_lifted", caller, ...targetFacts(revocation, { revocation: id }) }),
    );
  }

  /** Says yes or no to a lease that waits. @throws LeaseRefusal `audit_unavailable`, `nothing_of_this_id` */
  async decide(caller: string, id: string, yes: boolean): Promise<Approval> {
    const { approvals } = this.#desk;
    const waiting = approvals.hold(id);
    if (waiting === undefined) throw new LeaseRefusal("nothing_of_this_id");
    try {
      await this.#record(decisionOf(waiting, caller, yes));
      return approvals.decide(id, yes);
    } finally {
      approvals.letGo(id);
    }
  }

  async #record(event: OperatorEvent): Promise<void> {
    try {
      await this.#desk.audit.operated(event);
    } catch (error) {
      const detail =
        error instanceof Denial ? (error.detail ?? error.code) : error instanceof Error ? error.message : "";
      throw new LeaseRefusal("audit_unavailable", detail);
    }
  }
}

function decisionOf(approval: Approval, caller: string, yes: boolean): OperatorEvent {
  const { id, tenant, session, workspace, subject, credential, destination, host, port, methodClass, narrow } =
    approval;
  const who = { edge: approval.caller, tenant, workspace, subject };
  const what = { credential, destination, host, port, method_class: methodClass };
  return {
    type: yes ? "approval_granted" : "approval_denied",
    caller,
    session: { tenant, id: session },
    facts: { approval: id, ...who, ...what, ...(narrow === undefined ? {} : { narrow: narrowKey(narrow) }) },
  };
}

/** A session id is in no record: its mark is. */
function targetFacts({ scope, value, tenant }: RevocationTarget, more: OperatorEvent["facts"]) {
  const named = scope === "session" || value === "" ? {} : { [scope]: value };
  return {
    session: scope === "session" ? { tenant: tenant ?? "", id: value } : null,
    facts: { scope, ...(tenant === null ? {} : { tenant }), ...named, ...more },
  };
}
