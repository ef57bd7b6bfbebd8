import type { CustodyHealth, CustodyPort, HeldLease, LeaseGrant, LeaseRequest } from "../../../src/core/custody.ts";
import type { RevocationChange, RevocationPage } from "../../../src/core/revocation.ts";
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

  readonly released: HeldLease[] = [];
  /** Cursors that the feed was asked with. */
  readonly asked: (string | null)[] = [];
  /** What the feed does next; by default it waits until it is told something. */
  tell: (after: string | null, signal: AbortSignal) => RevocationPage | Promise<RevocationPage> = (after, signal) =>
    after === null ? { cursor: "e.0", reset: false, changes: [] } : this.#news(signal);
  #sequence = 0;
  #told: ((page: RevocationPage) => void)[] = [];

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

  async renew(): Promise<number> {
    return 900_000;
  }

  async release(held: HeldLease): Promise<void> {
    this.released.push(held);
  }

  async revocations(after: string | null, _waitMs: number, signal: AbortSignal): Promise<RevocationPage> {
    this.asked.push(after);
    return await this.tell(after, signal);
  }

  /** Answers whoever waits at the feed. */
  revoke(change: Omit<RevocationChange, "id" | "type">, type: RevocationChange["type"] = "revoked"): void {
    this.answer({ reset: false, changes: [{ ...change, type, id: "r" }] });
  }

  answer(page: Omit<RevocationPage, "cursor">): void {
    const cursor = `e.${++this.#sequence}`;
    for (const told of this.#told.splice(0)) told({ ...page, cursor });
  }

  #news(signal: AbortSignal): Promise<RevocationPage> {
    const { promise, resolve, reject } = Promise.withResolvers<RevocationPage>();
    this.#told.push(resolve);
    signal.addEventListener("abort", () => reject(new Error("cancelled")), { once: true });
    return promise;
  }
}

/** A promise that the test settles by hand. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}
