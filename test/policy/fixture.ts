import { Authority } from "../../src/core/authority.ts";
import { Denial, type DenialCode } from "../../src/core/denial.ts";
import type { AllowRule, Destination, DestinationRule, HostPattern } from "../../src/core/destination.ts";
import { type Ask, type Permit, Session } from "../../src/core/exchange.ts";
import { Fields } from "../../src/core/fields.ts";
import { parseIpRange } from "../../src/core/ip.ts";
import { compilePolicy } from "../../src/policy/compile.ts";
import type { CompiledPolicy } from "../../src/policy/compiled-policy.ts";

/** Rules and requests with everything left open but what a test is about. */

export const session = Session.prove({ id: "s1", tenant: "acme", workspace: "w", subject: "agent", roles: [] });

export function destination(changes: Partial<Destination> = {}): Destination {
  return {
    name: "api",
    scheme: "https",
    tls: "inspect",
    http: "auto",
    mode: "enforce",
    credential: null,
    attachments: [],
    dropHeaders: [],
    addresses: [],
    trust: null,
    synthetic: null,
    parent: null,
    ...changes,
  };
}

export function allow(changes: Partial<AllowRule> = {}): AllowRule {
  return { methods: null, paths: ["/**"], query: null, headers: null, ...changes };
}

/** `api.example.com`, `*.example.com`, `10.0.0.0/8` or `2001:db8::1`. */
export function host(text: string): HostPattern {
  const range = parseIpRange(text);
  if (range !== null) return { kind: "ip", range };
  return text.startsWith("*.") ? { kind: "subdomains", suffix: text.slice(2) } : { kind: "exact", host: text };
}

interface RuleChanges extends Partial<Destination> {
  readonly host?: string;
  readonly port?: number;
  readonly allow?: readonly Partial<AllowRule>[];
}

export function rule({ host: text, port, allow: entries, ...changes }: RuleChanges = {}): DestinationRule {
  return {
    destination: destination(changes),
    host: host(text ?? "api.example.com"),
    port: port ?? 443,
    allow: (entries ?? [{}]).map(allow),
  };
}

export function policyOf(...rules: readonly DestinationRule[]): CompiledPolicy {
  const { policy, problems } = compilePolicy(rules);
  if (policy === null) throw new Error(JSON.stringify(problems));
  return policy;
}

interface AskChanges {
  readonly method?: string;
  readonly scheme?: "http" | "https";
  readonly authority?: string;
  readonly fields?: readonly (readonly [string, string])[];
}

export function ask(target: string, changes: AskChanges = {}): Ask {
  const scheme = changes.scheme ?? "https";
  return {
    method: changes.method ?? "GET",
    scheme,
    authority: authority(changes.authority ?? "api.example.com", scheme),
    target,
    fields: Fields.of(changes.fields ?? []),
  };
}

export function authority(text: string, scheme: "http" | "https" = "https"): Authority {
  const parsed = Authority.parse(text, scheme === "https" ? 443 : 80);
  if (parsed === null) throw new Error(`not an authority: ${text}`);
  return parsed;
}

/** The rule that allows, or the code of the denial. */
export function verdict(policy: CompiledPolicy, request: Ask): string {
  return outcome(() => policy.decide(session, request));
}

export function outcome(decide: () => Permit | Denial): string {
  try {
    return permitted(decide()).rule;
  } catch (thrown) {
    return codeOf(thrown);
  }
}

/** @throws Denial that was answered in place of a permit */
export function permitted(answer: Permit | Denial): Permit {
  if (answer instanceof Denial) throw answer;
  return answer;
}

export function codeOf(thrown: unknown): DenialCode {
  if (!(thrown instanceof Denial)) throw thrown;
  return thrown.code;
}
