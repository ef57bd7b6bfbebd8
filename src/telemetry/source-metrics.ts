import type { Registry } from "prom-client";
import { counterFamily, type Family, gaugeFamily, only, type Series } from "./families.ts";

/**
 * What is read when somebody scrapes, instead of being reported when it changes: a function each, with the shape that the
 * folder it belongs to already has. Where one is absent, its metrics are too.
 */
export interface MetricSources {
  /** Leases held right now. */
  readonly leases?: () => number;
  /** Whether each custody answered last. */
  readonly custodies?: () => Iterable<{ readonly custody: string; readonly up: boolean; readonly feed?: string }>;
  readonly policy?: () => {
    readonly version: string | null;
    readonly loadedWallMs: number | null;
    readonly destinations: number;
    /** Why the last reload was not taken over, or `null`. */
    readonly problem: unknown;
  };
  readonly leaves?: () => { readonly hits: number; readonly mints: number; readonly size: number };
  readonly audit?: () => {
    readonly queuedRecords: number;
    readonly queuedBytes: number;
    readonly lost: number;
    readonly seq: number;
    readonly failing: boolean;
  };
  /** Log lines that were dropped because nobody read them. */
  readonly logDropped?: () => number;
  /** End of the CA's life, wall clock ms; `null` without a CA. */
  readonly caNotAfterMs?: () => number | null;
  readonly draining?: () => boolean;
}

export function registerSources(registry: Registry, sources: MetricSources): void {
  const { leases, custodies, policy, leaves, audit, logDropped, caNotAfterMs, draining } = sources;
  const gauge = (family: Family): void => gaugeFamily(registry, family);
  const counter = (family: Family): void => counterFamily(registry, family);
  if (leases) gauge({ name: "postern_leases", help: "Leases held in memory.", read: () => only(leases()) });
  if (custodies) registerCustodies(gauge, custodies);
  if (policy) registerPolicy(gauge, policy);
  if (leaves) registerLeaves(gauge, counter, leaves);
  if (audit) registerAudit(gauge, counter, audit);
  if (logDropped)
    counter({
      name: "postern_log_dropped_total",
      help: "Log lines dropped because their reader was too slow.",
      read: () => only(logDropped()),
    });
  if (caNotAfterMs)
    gauge({
      name: "postern_ca_expiry_timestamp_seconds",
      help: "When the CA, or the first certificate of its chain, expires.",
      read: () => present(caNotAfterMs(), (notAfterMs) => notAfterMs / 1000),
    });
  if (draining)
    gauge({
      name: "postern_draining",
      help: "1 while open exchanges are finished and nothing new begins.",
      read: () => only(draining() ? 1 : 0),
    });
}

type Register = (family: Family) => void;

function registerCustodies(gauge: Register, custodies: NonNullable<MetricSources["custodies"]>): void {
  gauge({
    name: "postern_custody_up",
    help: "1 while custody answers.",
    labels: ["custody"],
    read: () => Array.from(custodies(), ({ custody, up }) => [{ custody }, up ? 1 : 0]),
  });
  gauge({
    name: "postern_custody_feed_up",
    help: "1 while what custody revokes is heard of at once; 0: leases run on to their own end.",
    labels: ["custody"],
    read: () => Array.from(custodies(), ({ custody, feed }) => [{ custody }, feed === "following" ? 1 : 0]),
  });
}

function registerPolicy(gauge: Register, policy: NonNullable<MetricSources["policy"]>): void {
  gauge({
    name: "postern_policy_info",
    help: "Version of the policy in force; always 1.",
    labels: ["version"],
    read: () => {
      const { version } = policy();
      return version === null ? [] : [[{ version }, 1]];
    },
  });
  gauge({
    name: "postern_policy_loaded_timestamp_seconds",
    help: "When the policy in force was loaded.",
    read: () => present(policy().loadedWallMs, (loadedMs) => loadedMs / 1000),
  });
  gauge({
    name: "postern_policy_destinations",
    help: "Destinations in the policy in force.",
    read: () => only(policy().destinations),
  });
  gauge({
    name: "postern_policy_reload_failed",
    help: "1 while the last reload was not taken over and the older policy is in force.",
    read: () => only(policy().problem === null ? 0 : 1),
  });
}

function registerLeaves(gauge: Register, counter: Register, leaves: NonNullable<MetricSources["leaves"]>): void {
  counter({
    name: "postern_leaf_mints_total",
    help: "Leaf certificates that were minted.",
    read: () => only(leaves().mints),
  });
  counter({
    name: "postern_leaf_cache_hits_total",
    help: "Handshakes that found their leaf in the cache.",
    read: () => only(leaves().hits),
  });
  gauge({ name: "postern_leaf_cache_entries", help: "Leaves in the cache.", read: () => only(leaves().size) });
}

function registerAudit(gauge: Register, counter: Register, audit: NonNullable<MetricSources["audit"]>): void {
  gauge({
    name: "postern_audit_queue_records",
    help: "Audit records that wait for the disk.",
    read: () => only(audit().queuedRecords),
  });
  gauge({
    name: "postern_audit_queue_bytes",
    help: "Bytes of audit records that wait for the disk.",
    read: () => only(audit().queuedBytes),
  });
  counter({
    name: "postern_audit_lost_total",
    help: "Audit records that were lost because the disk failed or was too slow; must stay 0.",
    read: () => only(audit().lost),
  });
  counter({
    name: "postern_audit_records_total",
    help: "Sequence number of the newest audit record; it goes on across restarts.",
    read: () => only(audit().seq),
  });
  gauge({
    name: "postern_audit_failing",
    help: "1 while the audit file cannot be written.",
    read: () => only(audit().failing ? 1 : 0),
  });
}

function present(value: number | null, render: (value: number) => number): readonly Series[] {
  return value === null ? [] : only(render(value));
}
