import type { Authority } from "../core/authority.ts";
import type { HostPattern } from "../core/destination.ts";
import type { IpBytes } from "../core/ip.ts";
import { SuffixTable } from "./suffix-table.ts";

export type Scheme = "http" | "https";

/**
 * From scheme, port and host to the one value that stands for them. Names are found by hash: the whole name first, then in
 * one walk over its labels from the right. Addresses are found by one hash look-up for each prefix length in use, the longest
 * first. No step depends on how many patterns there are.
 * More specific wins: exact name, then longest suffix; longest prefix among addresses.
 */
export class HostIndex<T> {
  readonly #http = new Map<number, PortIndex<T>>();
  readonly #https = new Map<number, PortIndex<T>>();

  /** @returns the value that is there already for the very same pattern, and stays; `null` when `value` was put in */
  add(scheme: Scheme, port: number, host: HostPattern, value: T): T | null {
    const ports = scheme === "https" ? this.#https : this.#http;
    let index = ports.get(port);
    if (index === undefined) ports.set(port, (index = new PortIndex()));
    return index.add(host, value);
  }

  /** Whether a pattern is this very name. */
  spells(authority: Authority): boolean {
    const { host, port } = authority;
    return this.#https.get(port)?.spells(host) === true || this.#http.get(port)?.spells(host) === true;
  }

  find(scheme: Scheme, authority: Authority): T | null {
    const index = (scheme === "https" ? this.#https : this.#http).get(authority.port);
    if (index === undefined) return null;
    return authority.ip === null ? index.findName(authority.host) : index.findAddress(authority.ip);
  }
}

class PortIndex<T> {
  readonly #names = new Map<string, T>();
  readonly #suffixes = new SuffixTable<T>();
  /** One table a prefix length in use, the longest first. */
  readonly #v4: PrefixTable<T>[] = [];
  readonly #v6: PrefixTable<T>[] = [];

  add(host: HostPattern, value: T): T | null {
    if (host.kind === "exact") return putOnce(this.#names, host.host, value);
    if (host.kind === "subdomains") return this.#suffixes.add(host.suffix, value);
    const { base, prefix } = host.range;
    const tables = base.length === 4 ? this.#v4 : this.#v6;
    let table = tables.find((candidate) => candidate.prefix === prefix);
    if (table === undefined) {
      table = { prefix, values: new Map() };
      tables.push(table);
      tables.sort((a, b) => b.prefix - a.prefix);
    }
    return putOnce(table.values, prefixKey(base, prefix), value);
  }

  spells(host: string): boolean {
    return this.#names.has(host);
  }

  findName(host: string): T | null {
    return this.#names.get(host) ?? this.#suffixes.find(host);
  }

  findAddress(ip: IpBytes): T | null {
    for (const { prefix, values } of ip.length === 4 ? this.#v4 : this.#v6) {
      const value = values.get(prefixKey(ip, prefix));
      if (value !== undefined) return value;
    }
    return null;
  }
}

interface PrefixTable<T> {
  readonly prefix: number;
  readonly values: Map<string, T>;
}

/** The first `prefix` bits of an address, the rest zero, one character a byte. */
function prefixKey(ip: IpBytes, prefix: number): string {
  let key = "";
  for (let i = 0; i * 8 < prefix; i++) {
    const bits = Math.min(8, prefix - i * 8);
    key += String.fromCharCode((ip[i] as number) & (0xff00 >> bits) & 0xff);
  }
  return key;
}

function putOnce<T>(map: Map<string, T>, key: string, value: T): T | null {
  const present = map.get(key);
  if (present !== undefined) return present;
  map.set(key, value);
  return null;
}
