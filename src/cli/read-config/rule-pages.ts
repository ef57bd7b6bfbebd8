import { sameMembers } from "../../config/same-members.ts";
import type { Destination, DestinationRule, HostPattern } from "../../core/destination.ts";
import type { IpRange } from "../../core/ip.ts";

/**
 * An allow-list on its way between two processes, a page at a time, so that whoever takes it in can do other things between two
 * pages. The rules of a long list say the same few things for thousands of hosts: what they say beside name and host is a body,
 * which is sent once and is one object for all of them on the other side.
 */
export interface RulePage {
  readonly names: readonly string[];
  /** `example.com`, `*.example.com` or a range of addresses. */
  readonly hosts: readonly (string | IpRange)[];
  /** Numbers of the bodies, counted over all pages. */
  readonly bodies: readonly number[];
  /** Bodies that no page before this one had, in the order of their numbers. */
  readonly newBodies: readonly RuleBody[];
}

type RuleBody = Omit<Destination, "name"> & Pick<DestinationRule, "port" | "allow">;

/** Some milliseconds of work on the other side. */
const RULES_A_PAGE = 500;

export function* pagesOf(rules: readonly DestinationRule[]): Generator<RulePage> {
  const known = new Map<string, number>();
  const trusts = new Map<string | null, number>();
  let last: { readonly rule: DestinationRule; readonly number: number } | null = null;
  for (let from = 0; from < rules.length; from += RULES_A_PAGE) {
    const newBodies: RuleBody[] = [];
    const page = rules.slice(from, from + RULES_A_PAGE);
    const bodies = page.map((rule) => {
      if (last !== null && isLike(rule, last.rule)) return last.number;
      const key = keyOf(rule, numberOf(trusts, rule.destination.trust));
      const before = known.size;
      const number = numberOf(known, key);
      if (number === before) newBodies.push(bodyOf(rule));
      last = { rule, number };
      return number;
    });
    yield {
      names: page.map(({ destination }) => destination.name),
      hosts: page.map(({ host }) => packedHost(host)),
      bodies,
      newBodies,
    };
  }
}

/** Puts pages together again, in the order in which `pagesOf` made them. */
export class PageReader {
  readonly #bodies: RuleBody[] = [];

  read({ names, hosts, bodies, newBodies }: RulePage): DestinationRule[] {
    for (const body of newBodies) this.#bodies.push(frozen(body));
    return names.map((name, i) => {
      const body = this.#bodies[bodies[i] ?? -1];
      const host = hosts[i];
      if (body === undefined || host === undefined) throw new RangeError("a page of the allow-list is not whole");
      const { port, allow, ...common } = body;
      return Object.freeze({
        destination: Object.freeze({ name, ...common }),
        host: unpackedHost(host),
        port,
        allow,
      });
    });
  }
}

/** What came from another process, frozen through and through, like everything that a config holds. */
export function frozen<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  // The bytes of an address are a window on the whole message that they came in: a copy lets go of it.
  if (value instanceof Uint8Array) return Uint8Array.from(value) as T;
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, frozen(item)])) as T;
  const entries: Record<string, unknown> | unknown[] = value as Record<string, unknown>;
  for (const [key, item] of Object.entries(entries)) Reflect.set(entries, key, frozen(item));
  return Object.freeze(value);
}

/**
 * The same for equal bodies only. A part is left out by name or is in it: two rules that differ in one that was forgotten would
 * both become the first of them.
 */
function keyOf({ destination, port, allow }: DestinationRule, trust: number): string {
  const { name: _, trust: _text, addresses, parent, ...said } = destination;
  const ranges = addresses.map(({ base, prefix }) => `${base.join(".")}/${prefix}`);
  // Texts of roots are long, so their number stands for them; a name means one parent throughout a config.
  return JSON.stringify([port, trust, parent?.name ?? null, ranges, said, allow]);
}

/** Whether both have one body, part by part the very same. */
function isLike(one: DestinationRule, other: DestinationRule): boolean {
  return (
    one.port === other.port && one.allow === other.allow && sameMembers(one.destination, other.destination, ["name"])
  );
}

function bodyOf({ destination, port, allow }: DestinationRule): RuleBody {
  const { name: _, ...common } = destination;
  return { ...common, port, allow };
}

function numberOf<Key>(known: Map<Key, number>, key: Key): number {
  let number = known.get(key);
  if (number === undefined) known.set(key, (number = known.size));
  return number;
}

function packedHost(host: HostPattern): string | IpRange {
  if (host.kind === "exact") return host.host;
  return host.kind === "subdomains" ? `*.${host.suffix}` : host.range;
}

function unpackedHost(host: string | IpRange): HostPattern {
  if (typeof host !== "string") return Object.freeze({ kind: "ip", range: frozen(host) });
  return Object.freeze(host.startsWith("*.") ? { kind: "subdomains", suffix: host.slice(2) } : { kind: "exact", host });
}
