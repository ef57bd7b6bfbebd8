/** One text a session, for maps. The length in front keeps two pairs of tenant and id from ever making the same key. */
export function sessionKey({ tenant, id }: { readonly tenant: string; readonly id: string }): string {
  return `${tenant.length}:${tenant}${id}`;
}
