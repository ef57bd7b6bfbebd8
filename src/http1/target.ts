import { Authority } from "../core/authority.ts";
import { Http1Error } from "./grammar.ts";

/** A request-target taken apart (RFC 9112 §3.2). */
export type Target =
  | { readonly form: "origin"; readonly path: string }
  | {
      readonly form: "absolute";
      readonly scheme: "http" | "https";
      readonly authority: Authority;
      readonly path: string;
    }
  | { readonly form: "authority"; readonly authority: Authority }
  | { readonly form: "asterisk" };

/**
 * @param method decides between authority-form (CONNECT only, RFC 9112 §3.2.3) and the others
 * @returns the target; `path` is origin-form: path and query as they were sent, never empty
 * @throws Http1Error `target_form`
 */
export function parseTarget(method: string, target: string): Target {
  if (method === "CONNECT") {
    const authority = Authority.parse(target, null);
    if (authority === null) throw new Http1Error("target_form");
    return { form: "authority", authority };
  }
  if (target.charCodeAt(0) === 47) return { form: "origin", path: target };
  if (target === "*" && method === "OPTIONS") return { form: "asterisk" };
  return absoluteForm(target);
}

function absoluteForm(target: string): Target {
  const head = target.slice(0, 8).toLowerCase();
  const scheme = head.startsWith("https://") ? "https" : head.startsWith("http://") ? "http" : null;
  if (scheme === null) throw new Http1Error("target_form");
  const start = scheme.length + 3;
  let end = start;
  while (end < target.length && !"/?#".includes(target.charAt(end))) end++;
  const authority = Authority.parse(target.slice(start, end), scheme === "https" ? 443 : 80);
  if (authority === null) throw new Http1Error("target_form");
  const rest = target.slice(end);
  // RFC 9112 §3.2.1: an empty path is sent as "/"
  return { form: "absolute", scheme, authority, path: rest.startsWith("/") ? rest : `/${rest}` };
}
