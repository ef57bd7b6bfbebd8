import { Authority } from "../core/authority.ts";
import type { DenialCode } from "../core/denial.ts";
import type { AttachmentSpec, CredentialRef, Destination } from "../core/destination.ts";
import type { Ask } from "../core/exchange.ts";
import { Fields } from "../core/fields.ts";
import { type Refusal, refusalOf } from "./allow.ts";
import { ambiguityOf, type CompiledPolicy, plainestRefusal } from "./compiled-policy.ts";
import { isNeverForwarded } from "./override.ts";
import { readTarget } from "./path.ts";

/** What the policy would say to a request, and why; for `postern explain`. Nothing is resolved, leased or sent. */
export interface Explanation {
  /** `report`: let through although it would be denied, without any credential. */
  readonly decision: "allow" | "deny" | "report";
  readonly denial: DenialCode | null;
  /** For operators: what lies behind the denial, or `null`. */
  readonly why: string | null;
  readonly authority: string;
  /** The destination that names the authority, or `null`. */
  readonly destination: Destination | null;
  /** The entry that allows it. */
  readonly rule: string | null;
  /** Decision form of the path. */
  readonly path: string;
  /** Other ways in which servers may read the path. */
  readonly readings: readonly string[];
  readonly query: string;
  /** Each entry up to the one that allows, in order. */
  readonly entries: readonly ExplainedEntry[];
  /** What will be leased, or `null`. */
  readonly credential: CredentialRef | null;
  readonly attachments: readonly AttachmentSpec[];
}

export interface ExplainedEntry {
  readonly rule: string;
  readonly methods: readonly string[] | null;
  /** As compiled: in decision form. */
  readonly paths: readonly string[];
  /** `null` for the entry that allows. */
  readonly refusal: Refusal | null;
}

export function explain(policy: CompiledPolicy, ask: Ask): Explanation {
  const target = readTarget(ask.target);
  const entry = policy.find(ask.scheme, ask.authority);
  const entries: ExplainedEntry[] = [];
  for (const allow of entry?.allow ?? []) {
    const refusal = refusalOf(allow, ask.method, target, ask.fields);
    const paths = allow.paths.map(({ source }) => source);
    entries.push({ rule: allow.rule, methods: allow.methods, paths, refusal });
    if (refusal === null) break;
  }
  const banned = isNeverForwarded(ask.method);
  const allowed = banned ? undefined : entries.find(({ refusal }) => refusal === null);
  const denial = denialOf();
  const decision =
    allowed === undefined ? (entry?.destination.mode === "report" && !banned ? "report" : "deny") : "allow";
  return {
    decision,
    denial,
    why: whyOf(),
    authority: ask.authority.text,
    destination: entry?.destination ?? null,
    rule: allowed?.rule ?? null,
    path: target.path,
    readings: target.others,
    query: target.query,
    entries,
    credential: decision === "allow" ? (entry?.destination.credential ?? null) : null,
    attachments: decision === "allow" ? (entry?.destination.attachments ?? []) : [],
  };

  function denialOf(): DenialCode | null {
    if (allowed !== undefined) return null;
    if (banned) return "method_not_allowed";
    if (entry === null) return "destination_not_allowed";
    return plainestRefusal(entry.allow, ask.method, target, ask.fields);
  }

  function whyOf(): string | null {
    if (banned) return `${ask.method} is never forwarded`;
    return denial === "ambiguous_path" ? ambiguityOf(target) : null;
  }
}

/** A WebSocket is decided as the GET that asks for it, a gRPC call as the POST that it is. */
function urlAdvice(url: string): string {
  const [, kind, secure, rest] = /^(ws|grpc)(s?):\/\/(.+)$/i.exec(url) ?? [];
  if (kind === undefined) return "write a whole URL, such as https://api.example.com/v1/models";
  return `write ${kind.toLowerCase() === "ws" ? "GET" : "POST"} http${secure === "" ? "" : "s"}://${rest}`;
}

/**
 * A URL of the command line as the request that it would be, with its path untouched: `new URL` would tidy `..` away.
 * @param fields name and value pairs that the request carries beside Host
 * @returns the request, or what is wrong with the URL
 */
export function askOfUrl(
  method: string,
  url: string,
  fields: readonly (readonly [string, string])[] = [],
): { readonly ask: Ask; readonly problem: null } | { readonly ask: null; readonly problem: string } {
  const parts = /^(https?):\/\/([^/?#]*)([^#]*)/i.exec(url);
  const scheme = parts?.[1]?.toLowerCase();
  if (scheme !== "http" && scheme !== "https") return { ask: null, problem: `"${url}": ${urlAdvice(url)}` };
  const authority = Authority.parse(parts?.[2] ?? "", scheme === "https" ? 443 : 80);
  if (authority === null) {
    return {
      ask: null,
      problem: `"${parts?.[2] ?? ""}" is not a host: write a plain name or address, and a port if it is not the usual one`,
    };
  }
  const rest = parts?.[3] ?? "";
  const target = Buffer.from(rest.startsWith("/") ? rest : `/${rest}`, "utf8").toString("latin1");
  const ask: Ask = {
    method,
    scheme,
    authority,
    target,
    fields: Fields.of([["Host", authority.hostField(scheme)], ...fields]),
  };
  return { ask, problem: null };
}
