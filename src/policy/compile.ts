import { canonicalName } from "../core/authority.ts";
import type { AllowRule, DestinationRule, HostPattern } from "../core/destination.ts";
import { parseIp } from "../core/ip.ts";
import type { AllowEntry, HeaderRule } from "./allow.ts";
import { CompiledPolicy, type PolicyEntry } from "./compiled-policy.ts";
import { HostIndex } from "./host-index.ts";
import { isNeverForwarded } from "./override.ts";
import { readPath } from "./path.ts";
import { PathPattern, TextPattern } from "./pattern.ts";
import { QueryRules } from "./query.ts";

/** Something in the rules that cannot be meant. */
export interface PolicyProblem {
  /** Where it stands in the config: `["destinations", 3, "allow", 0, "paths", 1]`. */
  readonly path: readonly (string | number)[];
  /** What is wrong and what to write instead. */
  readonly message: string;
}

export type Compilation =
  | { readonly policy: CompiledPolicy; readonly problems: null }
  | { readonly policy: null; readonly problems: readonly PolicyProblem[] };

/**
 * Rules to a policy that decides. All problems are found at once; a policy exists only when there is none.
 * @param rules in the order of the config
 */
export function compilePolicy(rules: readonly DestinationRule[]): Compilation {
  const compiler = new Compiler();
  rules.forEach((rule, i) => compiler.add(rule, i));
  return compiler.finish();
}

/** Some milliseconds of work. */
const RULES_A_SLICE = 500;

/** As `compilePolicy`, a slice at a time. @param pause awaited between two slices: others have their turn */
export async function compilePolicyInSlices(
  rules: readonly DestinationRule[],
  pause: () => Promise<unknown>,
): Promise<Compilation> {
  const compiler = new Compiler();
  for (const [i, rule] of rules.entries()) {
    if (i > 0 && i % RULES_A_SLICE === 0) await pause();
    compiler.add(rule, i);
  }
  return compiler.finish();
}

class Compiler {
  readonly #index = new HostIndex<PolicyEntry>();
  readonly #names = new Map<string, number>();
  readonly #paths = new Map<string, CompiledPath>();
  readonly #lists = new Map<string, readonly AllowEntry[]>();
  readonly #problems: PolicyProblem[] = [];
  #size = 0;

  add(rule: DestinationRule, position: number): void {
    const { destination, host, port } = rule;
    const at = ["destinations", position] as const;
    const namesake = this.#names.get(destination.name);
    if (namesake === undefined) this.#names.set(destination.name, position);
    else
      this.#report([...at, "name"], `"${destination.name}" is destinations[${namesake}] already: give it another name`);
    const entry = { destination, allow: this.#allow(rule.allow, [...at, "allow"]) };
    const hostProblem = problemOfHost(host);
    if (hostProblem !== null) {
      this.#report([...at, "host"], hostProblem);
      return;
    }
    const twin = this.#index.add(destination.scheme, port, asAddress(host), entry);
    if (twin !== null) {
      this.#report(
        [...at, "host"],
        `"${destination.name}" and "${twin.destination.name}" match alike (${destination.scheme}, same host, port ${port}): ` +
          "keep one and put its allow entries together",
      );
    }
    this.#size++;
  }

  finish(): Compilation {
    if (this.#problems.length > 0) return { policy: null, problems: this.#problems };
    return { policy: new CompiledPolicy(this.#index, this.#size), problems: null };
  }

  #report(path: readonly (string | number)[], message: string): void {
    this.#problems.push({ path, message });
  }

  /** Large allow-lists say the same few things for thousands of hosts: equal lists without fault are one object. */
  #allow(allow: readonly AllowRule[], at: readonly (string | number)[]): readonly AllowEntry[] {
    const key = JSON.stringify(allow);
    const known = this.#lists.get(key);
    if (known !== undefined) return known;
    const before = this.#problems.length;
    const list = allow.map((entry, i) => this.#entry(entry, i, [...at, i]));
    if (this.#problems.length === before) this.#lists.set(key, list);
    return list;
  }

  #entry(allow: AllowRule, position: number, at: readonly (string | number)[]): AllowEntry {
    allow.methods?.forEach((method, i) => {
      const problem = problemOfMethod(method);
      if (problem !== null) this.#report([...at, "methods", i], problem);
    });
    const paths = allow.paths.map((source, i) => this.#path(source, [...at, "paths", i]));
    const spelled = paths.flatMap(({ spelled }) => spelled);
    return {
      rule: `allow[${position}]`,
      methods: allow.methods,
      anyPath: spelled.some((pattern) => pattern.isAny),
      paths: spelled,
      readablePaths: paths.every(({ others }) => others.length === 0)
        ? spelled
        : paths.flatMap(({ spelled, others }) => [...spelled, ...others]),
      query: allow.query === null ? null : this.#query(allow.query, [...at, "query"]),
      headers: allow.headers === null ? null : this.#headers(allow.headers, [...at, "headers"]),
    };
  }

  /** Each spelling is compiled once: large allow-lists repeat a few paths. */
  #path(source: string, at: readonly (string | number)[]): CompiledPath {
    let compiled = this.#paths.get(source);
    if (compiled === undefined) this.#paths.set(source, (compiled = compilePath(source)));
    if (compiled.problem !== null) this.#report(at, compiled.problem);
    return compiled;
  }

  #query(query: Readonly<Record<string, readonly string[]>>, at: readonly (string | number)[]): QueryRules {
    const rules = new QueryRules();
    for (const [key, values] of Object.entries(query)) {
      if (rules.add(key, values) !== null) {
        this.#report([...at, key], `servers take "${key}" for the same key as one above: keep one of them`);
      }
    }
    return rules;
  }

  #headers(headers: Readonly<Record<string, readonly string[]>>, at: readonly (string | number)[]): HeaderRule[] {
    return Object.entries(headers).map(([name, values]) => {
      if (name !== name.toLowerCase()) this.#report([...at, name], `"${name}": write "${name.toLowerCase()}"`);
      return { name, values: values.map((value) => new TextPattern(value)) };
    });
  }
}

interface CompiledPath {
  readonly spelled: readonly PathPattern[];
  readonly others: readonly PathPattern[];
  readonly problem: string | null;
}

/** A pattern is read like a path: what makes a path doubtful has no place in a pattern either. */
function compilePath(source: string): CompiledPath {
  const escaped = source.replaceAll(/[^!-~]+/g, (text) => encodeURIComponent(text.toWellFormed()));
  const problem = problemOfPath(source, escaped);
  if (problem !== null) return { spelled: [], others: [], problem };
  const reading = readPath(escaped);
  return {
    spelled: [new PathPattern(reading.path)],
    others: reading.others.map((other) => new PathPattern(other)),
    problem: null,
  };
}

function problemOfPath(source: string, escaped: string): string | null {
  if (!source.startsWith("/")) return `"${source}": write "/${source}"`;
  if (source.includes("?")) return `"${source}": a path holds no query; put the query under \`query:\``;
  if (source.split("/").some((segment) => segment.includes("**") && segment !== "**")) {
    return `"${source}": ** stands alone between slashes; write * for a part of a segment`;
  }
  const { malformed, doubt } = readPath(escaped);
  if (malformed !== null) return `"${source}" can never match: ${malformed}`;
  if (doubt !== null) return `"${source}" can never match: ${doubt} is let through by "/**" only`;
  return null;
}

function problemOfMethod(method: string): string | null {
  if (isNeverForwarded(method)) return `${method} is never forwarded: take it out`;
  if (method === "*") return '"*" stands for every method: write methods: ["*"] alone';
  if (!/^[!#$%&'+.^_`|~0-9A-Za-z-]+$/.test(method)) return `"${method}" is not a method token (RFC 9110 §9.1)`;
  const upper = method.toUpperCase();
  return method === upper ? null : `methods are case-sensitive (RFC 9110 §9.1): write "${upper}"`;
}

function problemOfHost(host: HostPattern): string | null {
  if (host.kind === "ip") return null;
  const text = host.kind === "exact" ? host.host : host.suffix;
  const name = canonicalName(text);
  if (name === null) return host.kind === "exact" && parseIp(text) !== null ? null : `"${text}" is not a host name`;
  const star = host.kind === "exact" ? "" : "*.";
  if (name !== text) return `"${star}${text}": write "${star}${name}"`;
  if (star !== "" && !name.includes(".")) return `"*.${name}" names a whole top-level domain: name a domain below it`;
  return null;
}

/** An exact host that is an address is an address, so that both spellings meet in the index. */
function asAddress(host: HostPattern): HostPattern {
  // A name never ends in a number (`canonicalName`), an IPv4 address always does.
  const base = host.kind === "exact" && /[0-9]$|:/.test(host.host) ? parseIp(host.host) : null;
  return base === null ? host : { kind: "ip", range: { base, prefix: base.length * 8 } };
}
