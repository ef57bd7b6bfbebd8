import type { Clock } from "../core/clock.ts";
import type { ExchangeKind, ExchangeRecord } from "../core/record.ts";

/** A record with nothing decided yet: if nobody fills it in, it says that the exchange was refused. */
export function openRecord(
  clock: Clock,
  id: string,
  kind: ExchangeKind,
  listener: string,
  guest: string,
): ExchangeRecord {
  const startedMs = clock.monotonicMs();
  return {
    id,
    kind,
    startedWallMs: clock.wallMs(),
    startedMs,
    endedMs: startedMs,
    listener,
    guest,
    tenant: "",
    session: "",
    method: "",
    scheme: "",
    authority: "",
    path: "",
    destination: "",
    rule: "",
    wouldDeny: null,
    denial: null,
    detail: null,
    status: 0,
    outcome: "denied",
    upstream: "",
    via: "",
    lease: "",
    resourceRef: "",
    injected: false,
    masked: 0,
    retried: false,
    bytesFromGuest: 0,
    bytesToGuest: 0,
    firstByteMs: 0,
  };
}
