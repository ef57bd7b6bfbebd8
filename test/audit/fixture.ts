import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { type Disk, type FileIdentity, realDisk } from "../../src/audit/disk.ts";
import type { AuditAlarm, AuditHead, AuditOptions } from "../../src/audit/options.ts";
import { AuditTrail } from "../../src/audit/trail.ts";

/** A directory of the test's own, removed after it. */
export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "postern-audit-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export interface Opened {
  readonly trail: AuditTrail;
  readonly file: string;
  readonly alarms: AuditAlarm[];
  readonly anchors: AuditHead[];
}

export const testClock = { monotonicMs: () => performance.now(), wallMs: () => 1_800_000_000_000 };

/** A trail on a real file; closed when the test ends. */
export async function openTrail(dir: string, options: Partial<AuditOptions> = {}): Promise<Opened> {
  const file = join(dir, "audit.jsonl");
  const alarms: AuditAlarm[] = [];
  const anchors: AuditHead[] = [];
  const trail = await AuditTrail.open({
    file,
    mode: "durable_first",
    fsync: "interval",
    fsyncIntervalMs: 50,
    rotateBytes: 1 << 30,
    instance: "test",
    clock: testClock,
    randomBytes,
    onAlarm: (alarm) => alarms.push(alarm),
    onAnchor: (head) => anchors.push(head),
    ...options,
  });
  onTestFinished(async () => {
    // A test that broke the disk on purpose closed it already, or cannot.
    await trail.close().catch(() => undefined);
  });
  return { trail, file, alarms, anchors };
}

export function auditFiles(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => name.endsWith(".jsonl"))
    .sort()
    .map((name) => join(dir, name));
}

/** Records of a file as values. */
export function records(file: string): Record<string, unknown>[] {
  return readFileSync(file, "latin1")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

export function types(file: string): unknown[] {
  return records(file).map(({ type }) => type);
}

/** The real disk with switches. */
export class FaultyDisk implements Disk {
  fault: Error | null = null;
  syncFault: Error | null = null;
  /** Bytes that still fit before `fault` comes. */
  roomBytes = 0;
  /** Most bytes that one append takes. */
  chunk = Infinity;
  syncs = 0;
  appends = 0;
  hang: Promise<void> | null = null;
  rename = (from: string, to: string): Promise<void> => realDisk.rename(from, to);
  readonly open = (file: string, create: boolean): Promise<number> => realDisk.open(file, create);
  readonly identity = (fd: number): Promise<FileIdentity> => realDisk.identity(fd);
  readonly lookAt = (file: string): Promise<FileIdentity | null> => realDisk.lookAt(file);
  readonly close = (fd: number): Promise<void> => realDisk.close(fd);
  readonly syncDirectory = (directory: string): Promise<void> => realDisk.syncDirectory(directory);

  async sync(fd: number): Promise<void> {
    this.syncs++;
    if (this.syncFault !== null) throw this.syncFault;
    await realDisk.sync(fd);
  }

  async append(fd: number, bytes: Buffer): Promise<number> {
    this.appends++;
    if (this.hang !== null) await this.hang;
    if (this.fault !== null) {
      // As a full disk does: a part lands, then the call fails.
      if (this.roomBytes > 0) await realDisk.append(fd, bytes.subarray(0, this.roomBytes));
      this.roomBytes = 0;
      throw this.fault;
    }
    return realDisk.append(fd, bytes.subarray(0, Math.min(this.chunk, bytes.length)));
  }
}

export function enospc(): Error {
  return Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
}

/** Waits for what happens soon; fails by name instead of by the runner's limit. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 2000; tries++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`never happened: ${what}`);
}
