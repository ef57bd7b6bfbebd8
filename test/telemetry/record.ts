import type { ExchangeRecord } from "../../src/core/record.ts";

/** An exchange that went well, with what a test changes. */
export function exchangeRecord(overrides: Partial<ExchangeRecord> = {}): ExchangeRecord {
  return {
    id: "b00t-1",
    kind: "http",
    startedWallMs: 1_800_000_000_123,
    startedMs: 1000.5,
    endedMs: 1003.25,
    listener: "guests",
    guest: "127.0.0.1:54321",
    tenant: "acme",
    session: "session-1",
    method: "GET",
    scheme: "https",
    authority: "api.openai.com:443",
    path: "/v1/models",
    destination: "openai",
    rule: "allow[0]",
    wouldDeny: null,
    denial: null,
    detail: null,
    status: 200,
    outcome: "completed",
    upstream: "192.0.2.7",
    via: "",
    lease: "lease-1",
    resourceRef: "ref-1",
    injected: true,
    masked: 0,
    retried: false,
    bytesFromGuest: 12,
    bytesToGuest: 1024,
    firstByteMs: 1002,
    ...overrides,
  };
}
