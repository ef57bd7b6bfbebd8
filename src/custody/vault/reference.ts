import type { VaultSourceSpec } from "../../core/vault.ts";

/** The canonical reference, `vault+kv2://mount/path#field?version=3`. It names the place, not the server. */
export function vaultReference({ engine, mount, path, field, version }: VaultSourceSpec): string {
  const segments = [mount, path].flatMap((text) => text.split("/")).map(encodeURIComponent);
  const fragment = field === null ? "" : `#${encodeURIComponent(field)}`;
  const pin = version === null ? "" : `?version=${version}`;
  return `vault+${engine}://${segments.join("/")}${fragment}${pin}`;
}
