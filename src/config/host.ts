import { domainToASCII } from "node:url";
import { Authority, canonicalName } from "../core/authority.ts";
import type { HostPattern } from "../core/destination.ts";
import { formatIp, type IpRange, isV4Mapped, parseIp, parseIpRange } from "../core/ip.ts";
import type { Advice } from "./listen-address.ts";
import { quoted } from "./problem.ts";

/**
 * `host:` of a destination. One spelling is accepted for each host, so that what is read is what is matched.
 * @returns the pattern, or what to write instead
 */
export function parseHost(text: string): HostPattern | Advice {
  if (text.startsWith("*.")) return parseSubdomains(text);
  if (canonicalName(text) === text) return { kind: "exact", host: text };
  const range = parseIpRange(text);
  if (range !== null) return ipPattern(text, range);
  return { advice: `${quoted(text)}: ${hostAdvice(text)}` };
}

function parseSubdomains(text: string): HostPattern | Advice {
  const suffix = text.slice(2);
  const name = canonicalName(suffix);
  if (name === null) return { advice: `${quoted(text)}: ${wildcardAdvice(suffix)}` };
  if (!name.includes("."))
    return { advice: `${quoted(text)}: covers a whole top-level domain: write "*.example.${name}" or single hosts` };
  return name === suffix
    ? { kind: "subdomains", suffix: name }
    : { advice: `${quoted(text)}: write ${quoted(`*.${name}`)}` };
}

function ipPattern(text: string, range: IpRange): HostPattern | Advice {
  if (range.prefix === 0) return { advice: `${quoted(text)}: covers every address: write the blocks that are meant` };
  const mapped = v4Inside(range);
  if (mapped !== null) return { advice: `${quoted(text)}: write ${quoted(mapped)}` };
  const canonical = rangeText(range);
  return canonical === text ? { kind: "ip", range } : { advice: `${quoted(text)}: write ${quoted(canonical)}` };
}

/** `addresses:` entries: a lone address or a block. */
export function parseAddresses(text: string): IpRange | Advice {
  const range = parseIpRange(text);
  if (range === null)
    return { advice: `${quoted(text)}: ${hostBitsAdvice(text) ?? 'write a block such as "10.1.0.0/16"'}` };
  if (range.prefix === 0) return { advice: `${quoted(text)}: covers every address: write the blocks that are meant` };
  return Object.freeze(range);
}

/**
 * `hosts:` entries of a credential: an authority with its port, or every name below one.
 * @returns canonical text, or what to write instead
 */
export function parseCredentialHost(text: string): string | Advice {
  const wildcard = text.startsWith("*.");
  const authority = Authority.parse(wildcard ? text.slice(2) : text, null);
  if (authority === null) {
    const withPort = Authority.parse(wildcard ? text.slice(2) : text, 443);
    if (withPort === null) return { advice: `${quoted(text)}: write host:port, such as "api.example.com:443"` };
    return { advice: `${quoted(text)}: has no port: write ${quoted(`${wildcard ? "*." : ""}${withPort.text}`)}` };
  }
  if (wildcard && (authority.ip !== null || !authority.host.includes(".")))
    return { advice: `${quoted(text)}: write names below a domain, such as "*.example.com:443"` };
  const canonical = wildcard ? `*.${authority.text}` : authority.text;
  return canonical === text ? canonical : { advice: `${quoted(text)}: write ${quoted(canonical)}` };
}

function wildcardAdvice(suffix: string): string {
  const plain = hostFrom(suffix);
  return plain === null || !plain.includes(".")
    ? 'write "*." and a domain, such as "*.example.com"'
    : `write ${quoted(`*.${plain}`)}`;
}

/** What was most likely meant. */
function hostAdvice(text: string): string {
  const bits = hostBitsAdvice(text);
  if (bits !== null) return bits;
  if (text === "*") return 'covers every host: name the hosts, or a domain as "*.example.com"';
  if (text.includes("*")) return 'a wildcard stands for whole labels at the front: write "*.example.com"';
  const plain = hostFrom(text);
  if (plain === null && /^[0-9a-fx.]+$/i.test(text.normalize("NFKC")))
    return "can be read as more than one address: write four decimal numbers";
  if (plain === null) return 'write a name such as "api.example.com", an IP address or a CIDR block';
  const port = /:([0-9]{1,5})(\/|$)/.exec(text)?.[1];
  return port === undefined || plain.includes(":")
    ? `write ${quoted(plain)}`
    : `write ${quoted(plain)}, and port: ${port}`;
}

function hostFrom(text: string): string | null {
  const bare = text
    .replace(/^[a-z][a-z0-9+.-]*:\/\//i, "")
    .replace(/\/.*$/, "")
    .replace(/\.+$/, "");
  const authority = Authority.parse(bare, 443);
  if (authority !== null) return authority.host;
  const ip = parseIp(bare);
  if (ip !== null) return v4Inside({ base: ip, prefix: ip.length * 8 }) ?? formatIp(ip);
  const ascii = Authority.parse(domainToASCII(bare.replace(/:[0-9]{1,5}$/, "")), 443);
  // Octal, hex, short and full-width spellings of addresses: whichever one was meant is not for us to say.
  return ascii === null || ascii.ip !== null ? null : ascii.host;
}

function hostBitsAdvice(text: string): string | null {
  const [address = "", length = "", ...rest] = text.split("/");
  const ip = parseIp(address);
  if (ip === null || rest.length > 0 || !/^[0-9]{1,3}$/.test(length)) return null;
  if (Number(length) > ip.length * 8) return `write a prefix of at most ${ip.length * 8}`;
  const base = ip.map((byte, i) => byte & (0xff << Math.min(8, Math.max(0, (i + 1) * 8 - Number(length)))));
  return `has bits behind its prefix: write ${quoted(`${formatIp(base)}/${length}`)}`;
}

function rangeText({ base, prefix }: IpRange): string {
  return prefix === base.length * 8 ? formatIp(base) : `${formatIp(base)}/${prefix}`;
}

/** A v4-mapped IPv6 address (RFC 4291 §2.5.5.2) is a second spelling of an IPv4 one. */
function v4Inside({ base, prefix }: IpRange): string | null {
  if (prefix < 96 || !isV4Mapped(base)) return null;
  return `${formatIp(base.subarray(12))}${prefix === 128 ? "" : `/${prefix - 96}`}`;
}
