import type { CustodyHealth, CustodyPort, LeaseGrant, LeaseRequest } from "../../../src/core/custody.ts";
import { grantOf } from "./permits.ts";

/** A custody in memory that does what the test says and remembers what it was asked and what it gave. */
export class FakeCustody implements CustodyPort {
  readonly timeoutMs: number;
  readonly requests: LeaseRequest[] = [];
  readonly grants: LeaseGrant[] = [];
  /** What the next calls do; an honest grant unless a test says otherwise. */
  behave: (request: LeaseRequest, signal: AbortSignal) => LeaseGrant | Promise<LeaseGrant> = (request) =>
    grantOf(request);
  readonly signed: { readonly leaseId: string; readonly input: string }[] = [];
  signs: (leaseId: string, input: string, signal: AbortSignal) => Promise<string> = async () => "a".repeat(86);
  healthy: () => Promise<CustodyHealth> = async () => ({ catalogue: null, problem: null });

  constructor(timeoutMs = 5_000) {
    this.timeoutMs = timeoutMs;
  }

  async lease(request: LeaseRequest, signal: AbortSignal): Promise<LeaseGrant> {
    this.requests.push(request);
    const grant = await this.behave(request, signal);
    this.grants.push(grant);
    return grant;
  }

  async sign(leaseId: string, input: string, signal: AbortSignal): Promise<string> {
    this.signed.push({ leaseId, input });
    return await this.signs(leaseId, input, signal);
  }

  health(): Promise<CustodyHealth> {
    return this.healthy();
  }
}

/** A promise that the test settles by hand. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}
