import { formatIp, type IpBytes, isV4Mapped, parseIp, parseIpv4 } from "./ip.ts";

/**
 * The one canonical host and port that drives matching, minting, resolving, dialling and the lease. It is parsed once, at
 * the door; inside the house nobody splits a host string. Spellings that other parsers could read differently (octal or
 * short IPv4, v4-mapped IPv6, zone ids, trailing dots, non-ASCII, userinfo, percent-encoding) are refused, not repaired.
 */
export class Authority {
  /** Lower-case ASCII name, dotted IPv4, or RFC 5952 IPv6 without brackets. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
  /** The address when the host is an IP literal, else `null`. */
  readonly ip: IpBytes | null;
  /** `host:port`, IPv6 in brackets: the key for maps, pools and leases. */
  readonly text: string;
  /** The host as a URL spells it: IPv6 in brackets. */
  readonly #urlHost: string;

  private constructor(host: string, port: number, ip: IpBytes | null) {
    this.host = host;
    this.port = port;
    this.ip = ip;
    this.#urlHost = ip?.length === 16 ? `[${host}]` : host;
    this.text = `${this.#urlHost}:${port}`;
  }

  /**
   * `host[:port]` as RFC 9110 §7.2 / RFC 3986 §3.2.2 write it.
   * @param text one Latin-1 string from the wire or from the config
   * @param defaultPort port when none is written; `null` makes the port mandatory (CONNECT, RFC 9112 §3.2.3)
   * @returns the authority, or `null` when the text is not one canonical spelling away from it
   */
  static parse(text: string, defaultPort: number | null): Authority | null {
    const split = text.startsWith("[") ? splitBracketed(text) : splitPlain(text);
    if (split === null) return null;
    const port = split.port === null ? defaultPort : parsePort(split.port);
    if (port === null) return null;
    if (split.bracketed) {
      const ip = parseIp(split.host);
      if (ip === null || ip.length !== 16 || isV4Mapped(ip)) return null;
      return new Authority(formatIp(ip), port, ip);
    }
    const ip = parseIpv4(split.host);
    if (ip !== null) return new Authority(split.host, port, ip);
    const name = canonicalName(split.host);
    return name === null ? null : new Authority(name, port, null);
  }

  /** The value of `Host` for this authority: the port is left out when it is the scheme's own (RFC 9110 §7.2). */
  hostField(scheme: "http" | "https"): string {
    return this.port === (scheme === "https" ? 443 : 80) ? this.#urlHost : this.text;
  }

  equals(other: Authority): boolean {
    return this.text === other.text;
  }

  toString(): string {
    return this.text;
  }
}

interface Split {
  readonly host: string;
  readonly port: string | null;
  readonly bracketed: boolean;
}

function splitBracketed(text: string): Split | null {
  const close = text.indexOf("]");
  if (close < 0) return null;
  const rest = text.slice(close + 1);
  if (rest !== "" && !rest.startsWith(":")) return null;
  return { host: text.slice(1, close), port: rest === "" ? null : rest.slice(1), bracketed: true };
}

function splitPlain(text: string): Split | null {
  const colon = text.indexOf(":");
  if (colon < 0) return { host: text, port: null, bracketed: false };
  if (text.indexOf(":", colon + 1) >= 0) return null;
  return { host: text.slice(0, colon), port: text.slice(colon + 1), bracketed: false };
}

/** Decimal, no sign, no leading zero, 1 to 65535. */
function parsePort(text: string): number | null {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) return null;
  const port = Number(text);
  return port <= 65535 ? port : null;
}

const LABEL = /^[a-z0-9_-]{1,63}$/;
/** What almost every name is: canonical already, in lower case, its last label beginning with a letter. */
const CANONICAL = /^(?:[a-z0-9_-]{1,63}\.)*[a-z][a-z0-9_-]{0,62}$/;

/** A lower-case DNS name, or `null`. Underscores are accepted because real names carry them. */
export function canonicalName(text: string): string | null {
  if (text.length === 0 || text.length > 253) return null;
  if (CANONICAL.test(text)) return text;
  const name = text.toLowerCase();
  const labels = name.split(".");
  if (!labels.every((label) => LABEL.test(label))) return null;
  // "ends in a number" (WHATWG URL §3.5): resolvers read 127.1, 0x7f.1 and 2130706433 as addresses.
  const last = labels[labels.length - 1] as string;
  return /^([0-9]+|0x[0-9a-f]*)$/.test(last) ? null : name;
}
