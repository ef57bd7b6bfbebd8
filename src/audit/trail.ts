import fsp from "node:fs/promises";
import path from "node:path";
import { Denial } from "../core/denial.ts";
import { isoTime, quoted } from "../core/record-json.ts";
import type { Waiter } from "./batch.ts";
import { realDisk } from "./disk.ts";
import { AuditFile, type Disturbance, setAside } from "./file.ts";
import { type AuditRecordType, type Members, sealLine } from "./line.ts";
import { lockForWriting, type WriterLock } from "./lock.ts";
import { Losses } from "./losses.ts";
import { headerMembers, openingRecord, type Run } from "./opening.ts";
import { type AUDIT_DEFAULTS, type AuditHead, type AuditOptions, type AuditStats, boundsOf } from "./options.ts";
import { type PrivilegedEvent, privilegedMembers } from "./privileged.ts";
import { archiveName, type ChainEnd, findChainEnd } from "./recover.ts";
import { SessionMarks } from "./session-marks.ts";
import { Writer } from "./writer.ts";

/**
 * This folder keeps the audit: a hash-chained file of JSON lines with one writer. `AuditTrail` is the way in; `line.ts` is the
 * format, `writer.ts` and `file.ts` take lines to the disk, `recover.ts` finds the end of an older chain, `verify.ts` checks
 * files afterwards.
 */
const TICK_MS = 1000;
const ANCHOR_MS = 60_000;

/** The audit file of one process: seals records, keeps the bounds, tells of losses. */
export class AuditTrail {
  readonly #options: AuditOptions & typeof AUDIT_DEFAULTS;
  readonly #writer: Writer;
  readonly #lock: WriterLock | null;
  readonly #marks: SessionMarks;
  readonly #losses = new Losses();
  readonly #run: Run;
  #seq: number;
  #prev: string;
  /** Size of the current file with everything that is queued for it. */
  #fileBytes: number;
  #turnOverWanted = false;
  #anchored = 0;
  #anchoredMs: number;
  #closed = false;
  readonly #ticker: NodeJS.Timeout;

  private constructor(options: AuditOptions, file: AuditFile, end: ChainEnd, lock: WriterLock | null) {
    this.#options = { ...options, ...boundsOf(options) };
    this.#lock = lock;
    this.#marks = new SessionMarks(options.randomBytes(16).toString("hex"));
    const boot = options.randomBytes(8).toString("hex");
    this.#run = { instance: options.instance, boot, salt: this.#marks.salt };
    this.#seq = end.seq;
    this.#prev = end.hash;
    this.#fileBytes = file.size;
    this.#anchoredMs = options.clock.monotonicMs();
    this.#writer = new Writer(file, {
      fsync: options.fsync,
      fsyncIntervalMs: options.fsyncIntervalMs,
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
    let lock: WriterLock | null = null;
    try {
      await fsp.mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
      lock = await lockForWriting(file);
      if (lock === null)
        options.onAlarm({ kind: "disturbed", detail: `${file} cannot be locked here: see that nobody else writes it` });
      return await AuditTrail.#goOn(options, lock);
    } catch (error) {
      await lock?.release();
      const { code } = error as NodeJS.ErrnoException;
      if (code === undefined || error instanceof Denial) throw error;
      const advice = "name a plain file in a directory that the edge may write to";
      throw new Error(`audit.file: ${file} cannot be opened (${code}): ${advice}`, { cause: error });
    }
  }

  static async #goOn(options: AuditOptions, lock: WriterLock | null): Promise<AuditTrail> {
    const { file, disk = realDisk } = options;
    const end = await findChainEnd(file);
    const aside = end.state === "ended" ? await setAside(disk, file, archiveName(file, end.seq)) : null;
    const opened = await AuditFile.open(disk, file, end.state === "nothing" || end.state === "ended");
    const trail = new AuditTrail(options, opened, end, lock);
    await trail.#begin(end, aside);
    return trail;
  }

  /** Digest that stands for a session id: the id itself is in no record. @returns 16 hex digits, or "" for no session */
  sessionMark(tenant: string, session: string): string {
    return session === "" ? "" : this.#marks.of(tenant, session);
  }

  /** What became of one exchange. Never throws: what cannot be kept is counted, and a `lost` record tells of it. */
  outcome(members: Members): void {
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
    return { queuedRecords, queuedBytes, lost: this.#losses.total, seq: this.#seq, failing: fault !== null };
  }

  /** For readiness: strict cannot work without its file; durable-first goes on and says so. */
  health(): { readonly ok: boolean; readonly degraded: boolean; readonly detail: string } {
    const { fault } = this.#writer;
    if (fault !== null)
      return { ok: this.#options.mode !== "strict", degraded: true, detail: `cannot write: ${fault}` };
    if (this.#losses.ongoing) return { ok: this.#options.mode !== "strict", degraded: true, detail: "losing records" };
    return { ok: true, degraded: false, detail: `record ${this.#seq}, ${this.#losses.total} lost` };
  }

  /** Writes the closing record and everything before it. @throws Error telling how many records could not be written */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#reportLoss();
    this.#append("shutdown", `"time":"${this.#now()}","boot":"${this.#run.boot}"`, null);
    this.#closed = true;
    clearInterval(this.#ticker);
    try {
      await this.#writer.close(this.#options.closeMs);
      this.#options.onAnchor?.(this.head);
    } finally {
      await this.#lock?.release();
    }
  }

  async #begin(end: ChainEnd, aside: string | null): Promise<void> {
    const { type, members } = openingRecord(this.#run, end, aside, path.basename(this.#options.file), this.#now());
    try {
      await this.#durably(type, members);
    } catch (error) {
      clearInterval(this.#ticker);
      this.#closed = true;
      await this.#writer.abandon();
      const { file } = this.#options;
      const cause = error instanceof Denial ? String(error.cause) : String(error);
      throw new Error(`audit.file: ${file} cannot be written (${cause}): make room, or name another file`, {
        cause: error,
      });
    }
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
    const share = this.#losses.ongoing ? 0.5 : 1;
    const { queuedBytes, queuedRecords } = this.#writer;
    return !this.#closed && queuedBytes + bytes <= queueBytes * share && queuedRecords < queueRecords * share;
  }

  #append(type: AuditRecordType, members: Members, waiter: Waiter | null): void {
    if (this.#losses.ongoing) this.#reportLoss();
    const full = this.#fileBytes + members.length + FRAME_BYTES > this.#options.rotateBytes;
    if ((full && this.#fileBytes > FRAME_BYTES * 4) || this.#turnOverWanted) this.#turnOver();
    this.#seal(type, members, waiter);
  }

  #seal(type: AuditRecordType, members: Members, waiter: Waiter | null): void {
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
    this.#seal("header", headerMembers(this.#run, archive, this.#now()), null);
    this.#anchor();
  }

  #lose(): void {
    if (!this.#losses.add(this.#options.clock.wallMs())) return;
    const why = this.#closed ? "the audit is closed" : (this.#writer.fault ?? "the disk is too slow");
    this.#options.onAlarm({ kind: "losing", detail: why });
  }

  /** There is room again: says in the chain what is missing from it. */
  #reportLoss(): void {
    const run = this.#losses.end();
    if (run === null) return;
    this.#seal("lost", `"time":"${this.#now()}","count":${run.count},"from":"${isoTime(run.fromWallMs)}"`, null);
    this.#options.onAlarm({ kind: "lost", count: run.count });
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
    if (this.#losses.ongoing && this.#hasRoom(0)) this.#reportLoss();
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#anchoredMs < ANCHOR_MS) return;
    this.#anchoredMs = nowMs;
    this.#anchor();
  }

  /** An anchor is given out once its record would survive a crash: one that is missing then means that the tail was cut. */
  #anchor(): void {
    const { onAnchor } = this.#options;
    const head = this.head;
    if (onAnchor === undefined || this.#anchored === head.seq) return;
    this.#anchored = head.seq;
    this.#writer.whenDurable({ resolve: () => onAnchor(head), reject: () => undefined });
  }

  #now(): string {
    return isoTime(this.#options.clock.wallMs());
  }
}

/** Bytes of a line beside its members, and somewhat more. */
const FRAME_BYTES = 256;
