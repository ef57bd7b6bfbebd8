import { Authority } from "../core/authority.ts";

/**
 * Keeps a web page from reading this listener through DNS rebinding: its own name then leads to this address, and the browser
 * says that name in `Host` (and its origin in `Origin`). IP literals and `localhost` cannot be rebound.
 * @param names further names, lower case, without port
 * @returns whether a request with these fields may be answered
 */
export function hostGuard(names: readonly string[]): (host: string | undefined, origin: string | undefined) => boolean {
  const known = new Set(["localhost", ...names.map((name) => name.toLowerCase())]);
  const isKnown = (text: string): boolean => {
    const authority = Authority.parse(text, 80);
    return authority !== null && (authority.ip !== null || known.has(authority.host));
  };
  return (host, origin) => {
    if (host === undefined || !isKnown(host)) return false;
    if (origin === undefined) return true;
    const written = /^https?:\/\/([^/]+)$/.exec(origin)?.[1];
    return written !== undefined && isKnown(written);
  };
}
