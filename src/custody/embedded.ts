import type { CustodyHealth, CustodyPort, HeldLease, LeaseGrant, LeaseRequest } from "../core/custody.ts";
import type { RevocationPage } from "../core/revocation.ts";
import type { Caller } from "./caller.ts";
import type { Issuer } from "./issuer.ts";
import type { SecretStore } from "./store/secret-store.ts";

const EMBEDDED: Caller = { name: "embedded", tenants: null };

/** Custody inside the edge's own process: the same issuer, without a wire. */
export class EmbeddedCustody implements CustodyPort {
  readonly timeoutMs: number;
  readonly #issuer: Issuer;
  readonly #catalogue: () => string | null;
  readonly #store: SecretStore | null;
  readonly #problem: () => string | null;

  /**
   * The wait is what the slowest source may take and a second for its record, at least 2 s.
   * @param catalogue version of what may be leased; a reload of the edge makes another custody
   * @param store what its sources read, closed with it
   * @param problem what is wrong with what its sources read from
   */
  constructor(
    issuer: Issuer,
    catalogue: () => string | null = () => null,
    store: SecretStore | null = null,
    problem: () => string | null = () => null,
  ) {
    this.#store = store;
    this.#issuer = issuer;
    this.#catalogue = catalogue;
    this.#problem = problem;
    this.timeoutMs = Math.max(2_000, issuer.longestIssueMs + 1_000);
  }

  lease(request: LeaseRequest, signal: AbortSignal): Promise<LeaseGrant> {
    return this.#issuer.issue(EMBEDDED, request, signal);
  }

  async sign(leaseId: string, input: string, _signal: AbortSignal): Promise<string> {
    return this.#issuer.sign(EMBEDDED, leaseId, input);
  }

  /** In the same process it is there whenever it can be asked, and a reload of the edge is told by the policy. */
  async health(_signal: AbortSignal): Promise<CustodyHealth> {
    // Asked every few seconds: nobody else looks after leases that have run out while none is issued.
    this.#issuer.ledger.tick();
    return { catalogue: this.#catalogue(), problem: this.#problem() };
  }

  renew(held: HeldLease, _signal: AbortSignal): Promise<number> {
    return this.#issuer.renew(EMBEDDED, held);
  }

  release(held: HeldLease, _signal: AbortSignal): Promise<void> {
    return this.#issuer.release(EMBEDDED, held);
  }

  revocations(after: string | null, waitMs: number, signal: AbortSignal): Promise<RevocationPage> {
    return this.#issuer.revocations.page(after, waitMs, null, signal);
  }

  /** Zeroes what sources hold and ends what they run. */
  close(): void {
    this.#issuer.close();
    this.#store?.close();
  }
}
