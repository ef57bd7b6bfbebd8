import type { VaultSourceSpec } from "../../core/vault.ts";

/**
 * The canonical reference, `vault+kv2://mount/path#field?version=3`: only the unreserved characters of RFC 3986 §2.3 stand for
 * themselves, the slashes of a mount do not. It names the place, not the server.
 */
export function vaultReference({ engine, mount, path, field, version }: VaultSourceSpec): string {
  const segments = path.split("/").map(encode).join("/");
  const fragment = field === null ? "" : `#${encode(field)}`;
  const pin = version === null ? "" : `?version=${version}`;
  return `vault+${engine}://${encode(mount)}/${segments}${fragment}${pin}`;
}

function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
