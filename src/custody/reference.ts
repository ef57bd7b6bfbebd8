import { createHmac } from "node:crypto";

/**
 * What logs and audit show instead of where a credential is kept: HMAC-SHA256 under a salt of the tenant, so that two tenants
 * who share a credential cannot tell, and nobody can guess a path by hashing candidates.
 * @param salt secret of this custody; the same salt gives the same references after a restart
 * @returns 16 hex digits
 */
export function resourceRef(salt: Uint8Array, tenant: string, reference: string): string {
  const tenantSalt = createHmac("sha256", salt).update(`postern-tenant\n${tenant}`).digest();
  return createHmac("sha256", tenantSalt).update(reference).digest("hex").slice(0, 16);
}
