import { canonicalName } from "../core/authority.ts";
import { formatIp, parseIp } from "../core/ip.ts";
import type { ResolverConfig } from "./config.ts";
import { quoted } from "./problem.ts";
import type { Report } from "./report.ts";
import type { RawResolver } from "./schema.ts";

/** `resolver:` of the config: the names that are answered without asking anybody. */
export function resolverConfig(raw: RawResolver, report: Report): ResolverConfig {
  const hosts = new Map<string, readonly string[]>();
  for (const [name, addresses] of Object.entries(raw.hosts)) {
    const path = ["resolver", "hosts", name];
    const fault = nameFault(name);
    if (fault !== null) report.add(path, fault, true);
    for (const [i, text] of addresses.entries()) {
      const ip = parseIp(text);
      if (ip === null) report.add([...path, i], `${quoted(text)}: write an IP address`);
      else if (formatIp(ip) !== text) report.add([...path, i], `${quoted(text)}: write ${quoted(formatIp(ip))}`);
    }
    hosts.set(name, Object.freeze(addresses));
  }
  return Object.freeze({ hosts, answerTtlMs: raw.answer_ttl_ms, timeoutMs: raw.timeout_ms });
}

function nameFault(name: string): string | null {
  const star = name.startsWith("*.") ? "*." : "";
  const canonical = canonicalName(name.slice(star.length));
  if (canonical === null) return `${quoted(name)}: write a host name, or "*.example.com" for all names below it`;
  return star + canonical === name ? null : `${quoted(name)}: write ${quoted(star + canonical)}`;
}
