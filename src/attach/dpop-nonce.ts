import { isNonce } from "../core/dpop-proof.ts";
import type { Fields } from "../core/fields.ts";
import type { Lease, LeaseScope } from "../core/exchange.ts";

/** Scopes whose last nonce is known beyond the lease that it came with. */
const MOST_SCOPES = 1_000;

/**
 * The nonce that a server gave last (RFC 9449 §8.2), for the lease that it came with and the leases that follow it in the same
 * session: without that, each new lease would cost one refusal, which a request with a large body does not survive.
 */
export class Nonces {
  readonly #byLease = new WeakMap<Lease, string>();
  /** Least recently learnt first. A guest that walks through names pushes out what others know here, never what their leases know. */
  readonly #byScope = new Map<string, string>();

  learn(lease: Lease, nonce: string): void {
    if (this.#byLease.get(lease) === nonce) return;
    this.#byLease.set(lease, nonce);
    const scope = textOf(lease.scope);
    this.#byScope.delete(scope);
    this.#byScope.set(scope, nonce);
    const oldest = this.#byScope.size > MOST_SCOPES ? this.#byScope.keys().next() : null;
    if (oldest !== null && oldest.done !== true) this.#byScope.delete(oldest.value);
  }

  of(lease: Lease): string | null {
    return this.#byLease.get(lease) ?? this.#byScope.get(textOf(lease.scope)) ?? null;
  }
}

/** @returns the one nonce that an answer brings, or `null` for none, several, or one that no proof can hold */
export function nonceIn(fields: Fields): string | null {
  const [nonce, ...more] = fields.all("dpop-nonce");
  return nonce !== undefined && more.length === 0 && isNonce(nonce) ? nonce : null;
}

/** Whether a 401 says that a nonce is all that is missing (RFC 9449 §9). What is misread costs one attempt more. */
export function asksForNonce(fields: Fields): boolean {
  return fields
    .all("www-authenticate")
    .some((line) => /(?:^|[\s,])DPoP\s/i.test(line) && /[\s,]error\s*=\s*"?use_dpop_nonce(?:"|,|\s|$)/i.test(line));
}

/** The lengths in front keep the parts of two scopes apart. */
function textOf({ tenant, session, host, port }: LeaseScope): string {
  return `${tenant.length}:${tenant}${session.length}:${session}${host}:${port}`;
}
