import fsp from "node:fs/promises";
import path from "node:path";
import type { Clock } from "../core/clock.ts";
import { Denial } from "../core/denial.ts";
import { isoTime, quoted } from "../core/record-json.ts";
import type { Waiter } from "./batch.ts";
import { type Disk, realDisk } from "./disk.ts";
import { AuditFile, type Disturbance, setAside } from "./file.ts";
import { type AuditRecordType, sealLine } from "./line.ts";
import { lockForWriting, type WriterLock } from "./lock.ts";
import { type PrivilegedEvent, privilegedMembers } from "./privileged.ts";
import { archiveName, type ChainEnd, findChainEnd } from "./recover.ts";
import { SessionMarks } from "./session-marks.ts";
import { type FsyncPolicy, Writer } from "./writer.ts";

/**
 * This folder keeps the audit: a hash-chained file of JSON lines with one writer. `AuditTrail` is the way in; `line.ts` is the
 * format, `writer.ts` and `file.ts` take lines to the disk, `recover.ts` finds the end of an older chain, `verify.ts` checks
 * files afterwards.
 */
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
  /** Lines that gather before a write, `ms`. Default 5. */
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

const DEFAULTS = { flushMs: 5, queueBytes: 16 * 1024 * 1024, queueRecords: 50_000, stallMs: 5000, closeMs: 5000 };
const TICK_MS = 1000;
const ANCHOR_MS = 60_000;

/** The audit file of one process: seals records, keeps the bounds, tells of losses. */
export class AuditTrail {
  readonly #options: AuditOptions & typeof DEFAULTS;
  readonly #writer: Writer;
  readonly #lock: WriterLock | null;
  readonly #marks: SessionMarks;
  readonly #boot: string;
  #seq: number;
  #prev: string;
  /** Size of the current file with everything that is queued for it. */
  #fileBytes: number;
  #turnOverWanted = false;
  #losing = false;
  #lostSinceReport = 0;
  #lostFromMs = 0;
  #lost = 0;
  #anchored = 0;
  #anchoredMs: number;
  #closed = false;
  readonly #ticker: NodeJS.Timeout;

  private constructor(options: AuditOptions, file: AuditFile, end: ChainEnd, lock: WriterLock | null) {
    this.#options = { ...options, ...withDefaults(options) };
    this.#lock = lock;
    this.#marks = new SessionMarks(options.randomBytes(16).toString("hex"));
    this.#boot = options.randomBytes(8).toString("hex");
    this.#seq = end.seq;
    this.#prev = end.hash;
    this.#fileBytes = file.size;
    this.#anchoredMs = options.clock.monotonicMs();
    this.#writer = new Writer(file, {
      fsync: options.fsync,
      flushMs: this.#options.flushMs,
      stallMs: this.#options.stallMs,
      clock: options.clock,
      onFault: (fault) => {
        options.onAlarm(fault === null ? { kind: "recovered" } : { kind: "failed", detail: fault });
      },
      onDisturbed: (what) => this.#disturbed(what),
    });
    const tickMs = options.fsync === "interval" ? Math.min(TICK_MS, options.fsyncIntervalMs) : TICK_MS;
    this.#ticker = setInterval(() => this.#tick(), tickMs).unref();
  }

  /**
   * Opens the file, or goes on with the chain that is in it, and makes the first record durable.
   * @throws Error with a next step: locked by another process, end of the chain broken, directory not writable
   */
  static async open(options: AuditOptions): Promise<AuditTrail> {
    const { file } = options;
    if (!path.isAbsolute(file)) throw new TypeError("audit.file must be absolute");
    const disk = options.disk ?? realDisk;
    await fsp.mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    const lock = await lockForWriting(file);
    try {
      if (lock === null)
        options.onAlarm({ kind: "disturbed", detail: `${file} cannot be locked here: see that nobody else writes it` });
      const end = await findChainEnd(file);
      const aside = end.state === "ended" ? await setAside(disk, file, archiveName(file, end.seq)) : null;
      const opened = await AuditFile.open(disk, file, end.state === "nothing" || end.state === "ended");
      const trail = new AuditTrail(options, opened, end, lock);
      await trail.#begin(end, aside);
      return trail;
    } catch (error) {
      await lock?.release();
      throw error;
    }
  }

  /** Digest that stands for a session id: the id itself is in no record. @returns 16 hex digits, or "" for no session */
  sessionMark(tenant: string, session: string): string {
    return session === "" ? "" : this.#marks.of(tenant, session);
  }

  /** What became of one exchange. Never throws: what cannot be kept is counted, and a `lost` record tells of it. */
  outcome(members: string): void {
    if (this.#hasRoom(members.length)) this.#append("exchange", members, null);
    else this.#lose();
  }

  /**
   * To be called before the first upstream byte of an exchange that carries a credential.
   * @param members rendered only when the mode asks for the record
   * @returns in strict mode, a promise that resolves once the record is on disk
   * @throws Denial `audit_unavailable`, as a rejected promise
   */
  intent(members: () => string): void | Promise<void> {
    if (this.#options.mode === "strict") return this.#durably("intent", members());
  }

  /**
   * Writes an event that must be on disk before it takes effect, whatever the mode and the fsync policy.
   * @throws Denial `audit_unavailable`: the event must not take effect, although its record may yet reach the file
   */
  async privileged(event: PrivilegedEvent): Promise<void> {
    await this.#durably(event.type, privilegedMembers(event, this.#options.clock.wallMs()));
  }

  get head(): AuditHead {
    return { seq: this.#seq, hash: this.#prev };
  }

  get stats(): AuditStats {
    const { queuedRecords, queuedBytes, fault } = this.#writer;
    return { queuedRecords, queuedBytes, lost: this.#lost, seq: this.#seq, failing: fault !== null };
  }

  /** For readiness: strict cannot work without its file; durable-first goes on and says so. */
  health(): { readonly ok: boolean; readonly degraded: boolean; readonly detail: string } {
    const { fault } = this.#writer;
    if (fault !== null)
      return { ok: this.#options.mode !== "strict", degraded: true, detail: `cannot write: ${fault}` };
    if (this.#losing) return { ok: this.#options.mode !== "strict", degraded: true, detail: "losing records" };
    return { ok: true, degraded: false, detail: `record ${this.#seq}, ${this.#lost} lost` };
  }

  /** Writes the closing record and everything before it. @throws Error telling how many records could not be written */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#reportLoss();
    this.#append("shutdown", `"time":"${this.#now()}","boot":"${this.#boot}"`, null);
    this.#closed = true;
    clearInterval(this.#ticker);
    try {
      await this.#writer.close(this.#options.closeMs);
      this.#anchor();
    } finally {
      await this.#lock?.release();
    }
  }

  async #begin(end: ChainEnd, aside: string | null): Promise<void> {
    try {
      if (end.state !== "open") return await this.#durably("header", this.#firstHeader(end, aside));
      const clean = end.lastType === "shutdown";
      return await this.#durably("resume", `"time":"${this.#now()}",${this.#whoMembers()},"clean":${clean}`);
    } catch (error) {
      clearInterval(this.#ticker);
      this.#closed = true;
      await this.#writer.abandon();
      throw error;
    }
  }

  /** Header of a file that follows what an earlier run left. */
  #firstHeader(end: ChainEnd, aside: string | null): string {
    const previous = end.lastFile === path.basename(this.#options.file) ? aside : end.lastFile;
    let out = this.#headerMembers(previous);
    if (end.tornBytes > 0 && aside !== null) out += `,"torn_file":${quoted(aside)},"torn_bytes":${end.tornBytes}`;
    // An earlier run ends its file with `rotated` or `shutdown`; without that it crashed, or its tail was cut.
    if (end.lastType !== null) out += `,"clean":${end.lastType === "rotated" || end.lastType === "shutdown"}`;
    // After `rotated` there is a next file, unless the run died in between or somebody took it away.
    if (end.state === "nothing" && end.lastType !== null) out += ',"file_missing":true';
    return out;
  }

  #headerMembers(previous: string | null): string {
    const out = `"time":"${this.#now()}","format":"postern-audit-v1",${this.#whoMembers()}`;
    return previous === null ? out : `${out},"previous_file":${quoted(previous)}`;
  }

  #whoMembers(): string {
    return `"instance":${quoted(this.#options.instance)},"boot":"${this.#boot}","salt":"${this.#marks.salt}"`;
  }

  async #durably(type: AuditRecordType, members: string): Promise<void> {
    const refusal = this.#refusal(members.length);
    if (refusal !== null) throw new Denial("audit_unavailable", { cause: refusal });
    await new Promise<void>((resolve, reject) => {
      this.#append(type, members, {
        resolve,
        reject: (cause) => reject(new Denial("audit_unavailable", { cause: `audit: ${cause}` })),
      });
    });
  }

  #refusal(bytes: number): string | null {
    if (this.#closed) return "audit: closed";
    if (this.#writer.fault !== null) return `audit: ${this.#writer.fault}`;
    return this.#hasRoom(bytes) ? null : "audit: too many records wait for the disk";
  }

  /** Once full, there is room again when half of it is free, so that a `lost` record stands for many. */
  #hasRoom(bytes: number): boolean {
    const { queueBytes, queueRecords } = this.#options;
    const share = this.#losing ? 0.5 : 1;
    const { queuedBytes, queuedRecords } = this.#writer;
    return !this.#closed && queuedBytes + bytes <= queueBytes * share && queuedRecords < queueRecords * share;
  }

  #append(type: AuditRecordType, members: string, waiter: Waiter | null): void {
    if (this.#losing) this.#reportLoss();
    const full = this.#fileBytes + members.length + FRAME_BYTES > this.#options.rotateBytes;
    if ((full && this.#fileBytes > FRAME_BYTES * 4) || this.#turnOverWanted) this.#turnOver();
    this.#seal(type, members, waiter);
  }

  #seal(type: AuditRecordType, members: string, waiter: Waiter | null): void {
    const { line, hash } = sealLine(this.#seq + 1, this.#prev, type, members);
    this.#seq++;
    this.#prev = hash;
    this.#fileBytes += line.length;
    this.#writer.push(line, waiter);
  }

  #turnOver(): void {
    this.#turnOverWanted = false;
    const archive = path.basename(archiveName(this.#options.file, this.#seq + 1));
    this.#seal("rotated", `"time":"${this.#now()}","archive":${quoted(archive)}`, null);
    this.#writer.endFile(archive);
    this.#fileBytes = 0;
    this.#seal("header", this.#headerMembers(archive), null);
    this.#anchor();
  }

  #lose(): void {
    this.#lost++;
    if (this.#lostSinceReport === 0) this.#lostFromMs = this.#options.clock.wallMs();
    this.#lostSinceReport++;
    if (this.#losing) return;
    this.#losing = true;
    const why = this.#closed ? "the audit is closed" : (this.#writer.fault ?? "the disk is too slow");
    this.#options.onAlarm({ kind: "losing", detail: why });
  }

  #reportLoss(): void {
    this.#losing = false;
    const count = this.#lostSinceReport;
    if (count === 0) return;
    this.#lostSinceReport = 0;
    this.#seal("lost", `"time":"${this.#now()}","count":${count},"from":"${isoTime(this.#lostFromMs)}"`, null);
    this.#options.onAlarm({ kind: "lost", count });
  }

  #disturbed(what: Disturbance): void {
    const { file, onAlarm } = this.#options;
    if (what === "foreign") {
      onAlarm({ kind: "disturbed", detail: `somebody else wrote to ${file}: find out who; the chain is broken there` });
      return;
    }
    this.#turnOverWanted = true;
    onAlarm({ kind: "disturbed", detail: `${file} was moved away: a new file is begun; rotation is built in` });
  }

  #tick(): void {
    this.#writer.tick();
    if (this.#losing && this.#hasRoom(0)) this.#reportLoss();
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#anchoredMs < ANCHOR_MS) return;
    this.#anchoredMs = nowMs;
    this.#anchor();
  }

  #anchor(): void {
    if (this.#anchored === this.#seq) return;
    this.#anchored = this.#seq;
    this.#options.onAnchor?.(this.head);
  }

  #now(): string {
    return isoTime(this.#options.clock.wallMs());
  }
}

/** Bytes of a line beside its members, and somewhat more. */
const FRAME_BYTES = 256;

function withDefaults(options: AuditOptions): typeof DEFAULTS {
  return {
    flushMs: options.flushMs ?? DEFAULTS.flushMs,
    queueBytes: options.queueBytes ?? DEFAULTS.queueBytes,
    queueRecords: options.queueRecords ?? DEFAULTS.queueRecords,
    stallMs: options.stallMs ?? DEFAULTS.stallMs,
    closeMs: options.closeMs ?? DEFAULTS.closeMs,
  };
}
