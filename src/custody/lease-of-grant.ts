import { type LeaseGrant, type LeaseRequest, METHOD_CLASS_BINDING } from "../core/custody.ts";
import { Denial } from "../core/denial.ts";
import { Lease } from "../core/exchange.ts";
import { zeroMaterial } from "../core/material.ts";

/** No lease outlives this, whatever custody says, `ms`. */
export const MAX_LEASE_MS = 15 * 60_000;

/**
 * The edge's own look at what custody granted: a lease names one session, one tenant and one authority, and its scope is
 * what was asked for. Any difference is refused, also one that looks harmless: it means that custody answered somebody else.
 * @param sentAtMs monotonic clock, read before the request left: a slow answer shortens the life at the edge, never the other
 * way round
 * @throws Denial `lease_unusable`, the material zeroed; the cause names the difference and no value
 */
export function leaseOfGrant(request: LeaseRequest, grant: LeaseGrant, sentAtMs: number, nowMs: number): Lease {
  const expiresAtMs = sentAtMs + grant.ttlMs - skewMs(grant.ttlMs);
  const difference = differenceOf(request, grant) ?? (nowMs >= expiresAtMs ? "a lease that expired on its way" : null);
  if (difference !== null) {
    zeroMaterial(grant.material);
    throw new Denial("lease_unusable", { cause: `custody granted ${difference}` });
  }
  const { leaseId: id, credential, material, scope, maxUses, resourceRef } = grant;
  const terms = { id, credential, material, scope, maxUses, resourceRef, expiresAtMs, grantedAtMs: sentAtMs };
  return Lease.grant({ ...terms, methodClass: grant.binding === null ? null : request.methodClass });
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
  if (grant.binding === null) return null;
  if (grant.binding.type !== METHOD_CLASS_BINDING) return "a binding that this edge does not know";
  if (grant.binding.value !== request.methodClass) return "a lease for other methods";
  return null;
}

/** What is taken off a life so that the edge stops using a lease before custody or the upstream does, `ms`. */
function skewMs(ttlMs: number): number {
  return Math.min(5_000, Math.ceil(ttlMs / 10));
}
