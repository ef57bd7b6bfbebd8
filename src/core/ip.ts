/**
 * IP literals as values. Strict spellings only: four decimal octets without leading zeros (RFC 6943 §3.1.1 shows why
 * octal, hex, integer and short forms are an attack), or RFC 4291 §2.2 IPv6 text without a zone id.
 */

/** An address as its network-order bytes: 4 for IPv4, 16 for IPv6. */
export type IpBytes = Uint8Array;

const V4_OCTETS = 4;
const V6_GROUPS = 8;

/** `text` (no brackets) -> bytes, or `null` when it is not a strict IP literal. */
export function parseIp(text: string): IpBytes | null {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** `"192.0.2.7"` -> 4 bytes, or `null`. Leading zeros, hex, short and integer forms are `null`. */
export function parseIpv4(text: string): IpBytes | null {
  // Asked of every name: one that does not end in a digit need not be taken apart.
  if (!isDigit(text.charCodeAt(text.length - 1))) return null;
  const parts = text.split(".");
  if (parts.length !== V4_OCTETS) return null;
  const bytes = new Uint8Array(V4_OCTETS);
  for (let i = 0; i < V4_OCTETS; i++) {
    const part = parts[i] as string;
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part)) return null;
    const value = Number(part);
    if (value > 255) return null;
    bytes[i] = value;
  }
  return bytes;
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

/** RFC 4291 §2.2 text (no brackets, no zone id) -> 16 bytes, or `null`. */
export function parseIpv6(text: string): IpBytes | null {
  if (text.length > 45) return null;
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const head = groupsOf(halves[0] as string, halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] as string, true) : [];
  if (head === null || tail === null) return null;
  const missing = V6_GROUPS - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const groups = [...head, ...Array.from({ length: missing }, () => 0), ...tail];
  const bytes = new Uint8Array(16);
  groups.forEach((group, i) => {
    bytes[i * 2] = group >> 8;
    bytes[i * 2 + 1] = group & 0xff;
  });
  return bytes;
}

function groupsOf(text: string, mayEndInIpv4: boolean): number[] | null {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as string;
    if (part.includes(".")) {
      const v4 = mayEndInIpv4 && i === parts.length - 1 ? parseIpv4(part) : null;
      if (v4 === null) return null;
      groups.push(((v4[0] as number) << 8) | (v4[1] as number), ((v4[2] as number) << 8) | (v4[3] as number));
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return null;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

/** Bytes -> canonical text: dotted decimal, or RFC 5952 lower-case IPv6 with the longest zero run shortened. */
export function formatIp(bytes: IpBytes): string {
  if (bytes.length === V4_OCTETS) return bytes.join(".");
  const groups = Array.from(
    { length: V6_GROUPS },
    (_, i) => ((bytes[i * 2] as number) << 8) | (bytes[i * 2 + 1] as number),
  );
  const run = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (run.length < 2) return hex.join(":");
  return `${hex.slice(0, run.start).join(":")}::${hex.slice(run.start + run.length).join(":")}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let i = 0; i < groups.length; i++) {
    let length = 0;
    while (i + length < groups.length && groups[i + length] === 0) length++;
    if (length > best.length) best = { start: i, length };
    i += length;
  }
  return best;
}

/** An address block: `prefix` leading bits of `base` are fixed. */
export interface IpRange {
  readonly base: IpBytes;
  readonly prefix: number;
}

/** `"10.0.0.0/8"`, `"fc00::/7"` or a lone address -> range, or `null`. Host bits must be zero, so that no typo widens it. */
export function parseIpRange(text: string): IpRange | null {
  const [address = "", length, ...rest] = text.split("/");
  if (rest.length > 0) return null;
  const base = parseIp(address);
  if (base === null) return null;
  const bits = base.length * 8;
  if (length === undefined) return { base, prefix: bits };
  if (!/^(0|[1-9][0-9]{0,2})$/.test(length) || Number(length) > bits) return null;
  const range = { base, prefix: Number(length) };
  return hostBitsAreZero(range) ? range : null;
}

function hostBitsAreZero({ base, prefix }: IpRange): boolean {
  for (let bit = prefix; bit < base.length * 8; bit++) {
    if (((base[bit >> 3] as number) >> (7 - (bit & 7))) & 1) return false;
  }
  return true;
}

/** Whether `address` lies in `range`; families never match each other. */
export function ipRangeContains(range: IpRange, address: IpBytes): boolean {
  if (range.base.length !== address.length) return false;
  const whole = range.prefix >> 3;
  for (let i = 0; i < whole; i++) if (range.base[i] !== address[i]) return false;
  const rest = range.prefix & 7;
  return rest === 0 || ((range.base[whole] as number) ^ (address[whole] as number)) >> (8 - rest) === 0;
}

/** Whether it is an IPv4 address in the spelling of IPv6 (RFC 4291 §2.5.5.2): `::ffff:192.0.2.7`. */
export function isV4Mapped(ip: IpBytes): boolean {
  return ip.length === 16 && ip.subarray(0, 10).every((byte) => byte === 0) && ip[10] === 0xff && ip[11] === 0xff;
}

const HOST_AT_V6 = 8;

/**
 * Whose address it is, as far as an address tells: one of IPv4 belongs to one host, of IPv6 a host has a whole /64 to choose from
 * (RFC 4291 §2.5.1, RFC 8981).
 * @param address as a socket or a PROXY header tells it, in either spelling of IPv4; anything else is its own network
 * @returns `"192.0.2.7"`, `"2001:db8:1:2::/64"`
 */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const [text = "", zone] = address.split("%");
  const ip = parseIpv6(text);
  if (ip === null) return address;
  if (isV4Mapped(ip)) return formatIp(ip.subarray(12));
  const network = `${formatIp(ip.fill(0, HOST_AT_V6))}/64`;
  // The link of a link-local address (RFC 4007 §11).
  return zone === undefined ? network : `${network}%${zone}`;
}
