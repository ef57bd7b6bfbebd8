import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Clock } from "../../core/clock.ts";
import type { PosternConfig } from "../../config/config.ts";
import { lookupBySystem, type Lookup } from "../../policy/resolver.ts";
import type { CertificateAuthority } from "../../tls/certificate-authority.ts";
import { staticHosts } from "../../policy/static-hosts.ts";
import { systemRoots } from "../system-roots.ts";

/** Everything that an edge takes from the machine that it runs on; tests and `postern dev` bring their own. */
export interface EdgeSystem {
  readonly clock: Clock;
  readonly randomBytes: (size: number) => Buffer;
  /** In [0, 1). */
  readonly random: () => number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly uid: number | null;
  readonly instance: string;
  readonly version: string;
  readonly lookup: (config: PosternConfig) => Lookup;
  /** PEM roots for upstreams where a destination names none of its own. */
  readonly systemRoots: () => readonly string[];
  /** A CA in memory instead of the configured files. */
  readonly ca: CertificateAuthority | null;
  /** File descriptor or path of the log; `null` = standard output. */
  readonly logDestination: number | string | null;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
};

/** The real machine. */
export function realSystem(version: string): EdgeSystem {
  return {
    clock: systemClock,
    randomBytes,
    random: Math.random,
    environment: process.env,
    uid: process.getuid?.() ?? null,
    instance: hostname(),
    version,
    lookup: (config) => staticHosts(config.resolver.hosts, lookupBySystem),
    systemRoots,
    ca: null,
    logDestination: null,
  };
}
