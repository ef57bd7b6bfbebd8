import type { LeaseGrant, LeaseRequest } from "../core/custody.ts";
import { Denial } from "../core/denial.ts";

/** No lease outlives this, whatever custody says, `ms`. */
export const MAX_LEASE_MS = 15 * 60_000;

/**
 * The edge's own look at what custody granted: a lease names one session, one tenant and one authority, and its scope is
 * what was asked for. Any difference is refused, also one that looks harmless: it means that custody answered somebody else.
 * @throws Denial `lease_unusable`; the cause names the difference and no value
 */
export function checkGrant(request: LeaseRequest, grant: LeaseGrant): void {
  const difference = differenceOf(request, grant);
  if (difference !== null) throw new Denial("lease_unusable", { cause: `custody granted ${difference}` });
}

function differenceOf(request: LeaseRequest, grant: LeaseGrant): string | null {
  if (grant.credential !== request.credential) return "another credential";
  if (grant.scope.tenant !== request.session.tenant) return "a lease of another tenant";
  if (grant.scope.session !== request.session.id) return "a lease of another session";
  if (grant.scope.host !== request.host) return "a lease for another host";
  if (grant.scope.port !== request.port) return "a lease for another port";
  if (!Number.isSafeInteger(grant.ttlMs) || grant.ttlMs <= 0) return "a lease that is already expired";
  if (grant.ttlMs > MAX_LEASE_MS) return "a lease that lives longer than 15 minutes";
  if (grant.maxUses !== null && (!Number.isSafeInteger(grant.maxUses) || grant.maxUses < 1)) return "a lease of no use";
  if (grant.binding !== null) return "a binding that this edge does not know";
  return null;
}
