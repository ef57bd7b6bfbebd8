import type { UpstreamParent } from "../core/destination.ts";
import type { ExchangeRecord } from "../core/record.ts";
import type { Line } from "./line.ts";

/**
 * Says in the record which parent is asked. The parent's credential leaves with its CONNECT, ahead of everything that the
 * destination gets: where the audit is strict, the intent is on disk before that.
 * @returns nothing, or a promise to wait for
 * @throws Denial `audit_unavailable`
 */
export function noteParent(line: Line, record: ExchangeRecord, parent: UpstreamParent): void | Promise<void> {
  record.via = parent.name;
  if (parent.destination.credential !== null) return line.account.admit(record);
}
