import { canonicalName } from "../core/authority.ts";
import { type IpRange, parseIpRange } from "../core/ip.ts";
import { CaError } from "./ca-error.ts";
import { type Der, sequence, tagged, taggedBytes } from "./der.ts";

/** What a constrained CA may sign for: a name with everything below it, or an address block. */
export type Permitted =
  | { readonly kind: "dns"; readonly name: string }
  | { readonly kind: "ip"; readonly range: IpRange };

/**
 * @param text `"example.com"` (the name and everything below it), `"10.0.0.0/8"`, `"2001:db8::/32"` or one address
 * @throws CaError `ca_argument`
 */
export function parsePermitted(text: string): Permitted {
  const range = parseIpRange(text);
  if (range !== null) return { kind: "ip", range };
  const name = canonicalName(text);
  if (name !== null) return { kind: "dns", name };
  const below = canonicalName(text.replace(/^\*?\./, ""));
  const next =
    below === null
      ? 'write a name ("example.com") or a block ("10.0.0.0/8")'
      : `write "${below}", which covers all names below it`;
  throw new CaError("ca_argument", `--permit "${text}": neither a name nor an address block`, next);
}

/**
 * NameConstraints (RFC 5280 §4.2.1.10) that allow the given subtrees and nothing else. Constraints bind only the kinds of
 * name that they mention: a kind of which nothing is permitted is excluded as a whole, or an address would slip past a CA
 * that was meant for one name.
 */
export function nameConstraints(permitted: readonly Permitted[]): Der {
  const of = (kind: string): boolean => permitted.some((one) => kindOf(one) === kind);
  const excluded = [of("dns") ? null : ANY_NAME, of("ipv4") ? null : ANY_IPV4, of("ipv6") ? null : ANY_IPV6].filter(
    (base) => base !== null,
  );
  const permittedTrees = tagged(0, ...permitted.map((one) => sequence(baseOf(one))));
  return excluded.length === 0
    ? sequence(permittedTrees)
    : sequence(permittedTrees, tagged(1, ...excluded.map((base) => sequence(base))));
}

const ANY_NAME = taggedBytes(2, Buffer.alloc(0));
const ANY_IPV4 = taggedBytes(7, Buffer.alloc(8));
const ANY_IPV6 = taggedBytes(7, Buffer.alloc(32));

function kindOf(one: Permitted): "dns" | "ipv4" | "ipv6" {
  if (one.kind === "dns") return "dns";
  return one.range.base.length === 4 ? "ipv4" : "ipv6";
}

/** dNSName, or iPAddress as address and mask. */
function baseOf(one: Permitted): Der {
  if (one.kind === "dns") return taggedBytes(2, Buffer.from(one.name, "latin1"));
  const { base, prefix } = one.range;
  const mask = base.map((_, i) => 0xff & ~(0xff >> Math.min(8, Math.max(0, prefix - i * 8))));
  return taggedBytes(7, Buffer.concat([base, mask]));
}
