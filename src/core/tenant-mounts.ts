import { type CanonicalReference, grantCovers, type MountGrant } from "./canonical-reference.ts";

/** What each tenant may be issued credentials from; a tenant that is not named is issued none. */
export type TenantMounts = ReadonlyMap<string, readonly MountGrant[]>;

/**
 * @param mounts `null`: this custody does not tell its tenants apart by where a credential is kept
 * @param reference `null`: a place that cannot be told is in nobody's mounts
 */
export function mayReach(mounts: TenantMounts | null, tenant: string, reference: CanonicalReference | null): boolean {
  if (mounts === null) return true;
  if (reference === null) return false;
  return (mounts.get(tenant) ?? []).some((grant) => grantCovers(grant, reference));
}
