import type { Clock } from "../core/clock.ts";
import type { Disk } from "./disk.ts";
import type { FsyncPolicy } from "./writer.ts";

export interface AuditOptions {
  /** Absolute path; the directory is made when it is missing. */
  readonly file: string;
  /** `strict`: an exchange with a credential waits for its intent on disk, and is refused when that fails. */
  readonly mode: "durable_first" | "strict";
  readonly fsync: FsyncPolicy;
  readonly fsyncIntervalMs: number;
  readonly rotateBytes: number;
  /** Who writes, for the header: host name or instance name. */
  readonly instance: string;
  readonly clock: Clock;
  readonly randomBytes: (size: number) => Buffer;
  /** Told of every change for the worse or the better; must not throw. */
  readonly onAlarm: (alarm: AuditAlarm) => void;
  /**
   * Given the head of the chain now and then, and when a file ends. Kept in another place (the log), it shows later that the
   * tail was cut: `postern audit verify --expect-seq N --expect-hash H`.
   */
  readonly onAnchor?: (head: AuditHead) => void;
  /** Lines that gather before a write, `ms`. Default 40: a write costs two changes of thread, whatever is in it. */
  readonly flushMs?: number;
  /** Bounds of what waits for the disk. Defaults 16 MiB and 50,000 records. */
  readonly queueBytes?: number;
  readonly queueRecords?: number;
  /** How long `close` may take, `ms`. Default 5000. */
  readonly closeMs?: number;
  /** Silence of the disk that counts as failure, `ms`. Default 5000. */
  readonly stallMs?: number;
  readonly disk?: Disk;
}

export type AuditAlarm =
  | { readonly kind: "failed"; readonly detail: string }
  | { readonly kind: "recovered" }
  /** Records are being lost from now on. */
  | { readonly kind: "losing"; readonly detail: string }
  /** How many were lost; a `lost` record says so in the file. */
  | { readonly kind: "lost"; readonly count: number }
  /** Somebody moved the file away or wrote to it, or there is no way to lock it. */
  | { readonly kind: "disturbed"; readonly detail: string };

export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

export interface AuditStats {
  readonly queuedRecords: number;
  readonly queuedBytes: number;
  /** Records that the disk took too long for, since the start. */
  readonly lost: number;
  /** Sequence number of the last record, queued ones included. */
  readonly seq: number;
  readonly failing: boolean;
}

export const AUDIT_DEFAULTS = {
  flushMs: 40,
  queueBytes: 16 * 1024 * 1024,
  queueRecords: 50_000,
  stallMs: 5000,
  closeMs: 5000,
};

/** The bounds of a trail, each with its default where none is given. */
export function boundsOf(options: AuditOptions): typeof AUDIT_DEFAULTS {
  return {
    flushMs: options.flushMs ?? AUDIT_DEFAULTS.flushMs,
    queueBytes: options.queueBytes ?? AUDIT_DEFAULTS.queueBytes,
    queueRecords: options.queueRecords ?? AUDIT_DEFAULTS.queueRecords,
    stallMs: options.stallMs ?? AUDIT_DEFAULTS.stallMs,
    closeMs: options.closeMs ?? AUDIT_DEFAULTS.closeMs,
  };
}
