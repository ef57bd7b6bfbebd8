import type { CustodyPort, LeaseRequest } from "../../src/core/custody.ts";
import { zeroMaterial } from "../../src/core/material.ts";
import { Loops } from "../load/loops.ts";
import { type Measured, type Tally, tallyWindow } from "../load/window.ts";
import { destinationHost } from "../wire/fixtures.ts";

/** How leases are asked for, in whatever process custody is. */
export interface Asking {
  /** Calls under way at a time. */
  readonly atOnce: number;
  readonly upstreamPid: number;
  readonly warmMs: number;
  readonly windowMs: number;
}

/** What every lease of the bench is of. */
export const CREDENTIAL = "bench";
export const AUTHORITY = { host: destinationHost(0), port: 443 } as const;

let sessions = 0;

/** Leases, each for a session that was never heard of. @param measured the process that custody is in */
export async function tallyLeases(custody: CustodyPort, measured: Measured, asking: Asking): Promise<Tally> {
  const signal = new AbortController().signal;
  const loops = new Loops(asking.atOnce, async () => {
    const { material } = await custody.lease(request(++sessions), signal);
    zeroMaterial(material);
  });
  try {
    return await Promise.race([tallyWindow(measured, asking.upstreamPid, asking, () => loops.count), loops.failure]);
  } finally {
    await loops.stop();
  }
}

function request(session: number): LeaseRequest {
  return {
    session: { id: `session-${session}`, tenant: "local", workspace: "default", subject: "guest" },
    credential: CREDENTIAL,
    ...AUTHORITY,
    destination: "api-0",
    purpose: "request",
    methodClass: "read",
  };
}
