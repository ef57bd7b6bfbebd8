import { formatIp, type IpBytes, type IpRange, ipRangeContains, parseIpRange } from "../core/ip.ts";

/**
 * The addresses that no name may lead to unless its destination names the range: one table, the first row that contains an
 * address is its class. What is in no row is public unicast. Rows follow the IANA special-purpose registries (RFC 6890) and
 * are ordered from the particular to the general.
 */
export interface AddressClass {
  readonly name: AddressClassName;
  readonly range: IpRange;
  /** RFC or vendor that says so. */
  readonly source: string;
  /** Where the IPv4 address stands that a packet to this address ends up at. */
  readonly embedded: readonly ((ip: IpBytes) => IpBytes)[];
}

export type AddressClassName =
  | "metadata"
  | "unspecified"
  | "this_network"
  | "private"
  | "shared"
  | "loopback"
  | "link_local"
  | "protocol"
  | "documentation"
  | "relay_6to4"
  | "benchmarking"
  | "multicast"
  | "reserved"
  | "broadcast"
  | "v4_mapped"
  | "v4_compatible"
  | "v4_translated"
  | "nat64"
  | "nat64_local"
  | "discard"
  | "teredo"
  | "orchid"
  | "tunnel_6to4"
  | "segment_routing"
  | "unique_local"
  | "site_local"
  | "unallocated";

const at = (offset: number) => (ip: IpBytes) => ip.subarray(offset, offset + 4);
/** RFC 4380 §4: the client's address stands inverted in a Teredo address. */
const invertedAt = (offset: number) => (ip: IpBytes) => at(offset)(ip).map((byte) => byte ^ 0xff);

const row = (
  name: AddressClassName,
  range: string,
  source: string,
  ...embedded: AddressClass["embedded"]
): AddressClass => {
  const parsed = parseIpRange(range);
  if (parsed === null) throw new TypeError(`address class table: ${range}`);
  return { name, range: parsed, source, embedded };
};

export const ADDRESS_CLASSES: readonly AddressClass[] = [
  row("metadata", "169.254.169.254", "AWS, Azure, GCP, OCI and others: instance metadata"),
  row("metadata", "169.254.170.2", "AWS ECS: task credentials"),
  row("metadata", "169.254.170.23", "AWS EKS: pod identity"),
  row("metadata", "168.63.129.16", "Azure: WireServer"),
  row("metadata", "100.100.100.200", "Alibaba Cloud: instance metadata"),
  row("metadata", "192.0.0.192", "Oracle Cloud: instance metadata"),
  row("metadata", "fd00:ec2::254", "AWS: instance metadata"),
  row("metadata", "fd00:ec2::23", "AWS EKS: pod identity"),
  row("metadata", "fd20:ce::254", "GCP: instance metadata"),
  row("unspecified", "0.0.0.0", "RFC 1122 §3.2.1.3"),
  row("this_network", "0.0.0.0/8", "RFC 791 §3.2"),
  row("private", "10.0.0.0/8", "RFC 1918"),
  row("private", "172.16.0.0/12", "RFC 1918"),
  row("private", "192.168.0.0/16", "RFC 1918"),
  row("shared", "100.64.0.0/10", "RFC 6598 (CGNAT)"),
  row("loopback", "127.0.0.0/8", "RFC 1122 §3.2.1.3"),
  row("link_local", "169.254.0.0/16", "RFC 3927"),
  row("protocol", "192.0.0.0/24", "RFC 6890 §2.1"),
  row("documentation", "192.0.2.0/24", "RFC 5737"),
  row("documentation", "198.51.100.0/24", "RFC 5737"),
  row("documentation", "203.0.113.0/24", "RFC 5737"),
  row("relay_6to4", "192.88.99.0/24", "RFC 7526"),
  row("benchmarking", "198.18.0.0/15", "RFC 2544"),
  row("multicast", "224.0.0.0/4", "RFC 5771"),
  row("broadcast", "255.255.255.255", "RFC 919 §7"),
  row("reserved", "240.0.0.0/4", "RFC 1112 §4"),
  row("unspecified", "::", "RFC 4291 §2.5.2"),
  row("loopback", "::1", "RFC 4291 §2.5.3"),
  row("v4_mapped", "::ffff:0:0/96", "RFC 4291 §2.5.5.2", at(12)),
  row("v4_translated", "::ffff:0:0:0/96", "RFC 2765 §2.1", at(12)),
  row("v4_compatible", "::/96", "RFC 4291 §2.5.5.1", at(12)),
  row("nat64", "64:ff9b::/96", "RFC 6052 §2.1", at(12)),
  row("nat64_local", "64:ff9b:1::/48", "RFC 8215", at(12)),
  row("discard", "100::/64", "RFC 6666"),
  row("teredo", "2001::/32", "RFC 4380", at(4), invertedAt(12)),
  row("benchmarking", "2001:2::/48", "RFC 5180"),
  row("orchid", "2001:10::/28", "RFC 4843"),
  row("orchid", "2001:20::/28", "RFC 7343"),
  row("protocol", "2001::/23", "RFC 2928"),
  row("documentation", "2001:db8::/32", "RFC 3849"),
  row("tunnel_6to4", "2002::/16", "RFC 3056", at(2)),
  row("documentation", "3fff::/20", "RFC 9637"),
  row("segment_routing", "5f00::/16", "RFC 9602"),
  row("unique_local", "fc00::/7", "RFC 4193"),
  row("link_local", "fe80::/10", "RFC 4291 §2.5.6"),
  row("site_local", "fec0::/10", "RFC 3879"),
  row("multicast", "ff00::/8", "RFC 4291 §2.7"),
  // Global unicast is 2000::/3 (RFC 4291 §2.4); nothing else was ever given out.
  row("unallocated", "::/3", "RFC 4291 §2.4"),
  row("unallocated", "4000::/2", "RFC 4291 §2.4"),
  row("unallocated", "8000::/1", "RFC 4291 §2.4"),
];

/** The class of an address by itself, or `null` when it is public. */
export function addressClass(ip: IpBytes): AddressClass | null {
  for (const entry of ADDRESS_CLASSES) if (ipRangeContains(entry.range, ip)) return entry;
  return null;
}

/** An address that is not permitted, or one inside of it. */
export interface AddressFault {
  readonly ip: IpBytes;
  readonly class: AddressClass;
}

/**
 * Judges an address by its own class and by that of each IPv4 address that it carries: whoever translates sends the packet there.
 * @param named ranges that the destination names; they permit what lies in them
 * @returns what is not permitted, or `null`
 */
export function addressFault(ip: IpBytes, named: readonly IpRange[]): AddressFault | null {
  const found = addressClass(ip);
  if (found === null) return null;
  if (!isNamed(ip, found, named)) return { ip, class: found };
  for (const inner of found.embedded) {
    const fault = addressFault(inner(ip), named);
    if (fault !== null) return fault;
  }
  return null;
}

/** Addresses that `ip` leads to: itself and every IPv4 address in it. */
export function addressLayers(ip: IpBytes): readonly IpBytes[] {
  return [ip, ...(addressClass(ip)?.embedded ?? []).map((inner) => inner(ip))];
}

/** One line for operators: what it is, and what to write if it is meant. */
export function describeFault({ ip, class: { name, source } }: AddressFault): string {
  const text = formatIp(ip);
  const next = name === "nat64_local" ? "name the /96 that your NAT64 uses" : `name ${text} or its range`;
  return `${text} is ${name} (${source}); if it is meant, ${next} under addresses of the destination`;
}

function isNamed(ip: IpBytes, { name }: AddressClass, named: readonly IpRange[]): boolean {
  const least = LEAST_PREFIX[name]?.[ip.length === 4 ? 0 : 1] ?? 0;
  return named.some((range) => range.prefix >= least && ipRangeContains(range, ip));
}

/**
 * Classes that a wide range does not name by the way, with the prefix length (IPv4, IPv6) that does. A metadata service hands
 * out the credentials of the machine, so 100.64.0.0/10 for one's own network must not open 100.100.100.200. Local NAT64 carries
 * the IPv4 address at a place that depends on its prefix (RFC 6052 §2.2); from /96 on it is the last four bytes.
 */
const LEAST_PREFIX: Partial<Record<AddressClassName, readonly [v4: number, v6: number]>> = {
  metadata: [32, 128],
  nat64_local: [0, 96],
};
