import type { Clock } from "../core/clock.ts";
import { Batch, type Waiter } from "./batch.ts";
import type { AuditFile, Disturbance } from "./file.ts";

export type FsyncPolicy = "always" | "interval" | "never";

export interface WriterOptions {
  readonly fsync: FsyncPolicy;
  /** With `interval`: how often, `ms`. */
  readonly fsyncIntervalMs: number;
  /** How long lines gather before one write takes them, `ms`. A record that is waited for goes at once. */
  readonly flushMs: number;
  /** After so long without an answer the disk counts as failed, `ms`. */
  readonly stallMs: number;
  readonly clock: Clock;
  /** The disk failed, or works again (`null`). Called once a change. */
  readonly onFault: (fault: string | null) => void;
  /** The file was moved away or somebody else appended to it. */
  readonly onDisturbed: (what: Disturbance) => void;
}

/** First and longest wait before a failed step is tried again, `ms`. */
const RETRY_FROM_MS = 100;
const RETRY_TO_MS = 5000;

/**
 * Takes sealed lines to the disk: one write at a time, and what gathered meanwhile goes with the next one (group commit).
 * A step that fails is tried again until it succeeds; meanwhile lines gather, up to the bound that the trail keeps. Whoever
 * waits for a record is told of the failure at once.
 */
export class Writer {
  readonly #file: AuditFile;
  readonly #options: WriterOptions;
  readonly #full: Batch[] = [];
  #current: Batch | null = null;
  #open = new Batch();
  #used: Buffer | undefined;
  #queuedBytes = 0;
  #queuedRecords = 0;
  #fault: string | null = null;
  #busySinceMs: number | null = null;
  #running: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #immediate: NodeJS.Immediate | null = null;
  #syncWanted = false;
  #syncedAtMs = 0;
  #inspectWanted = false;
  #closing = false;
  readonly #giveUp = new AbortController();

  constructor(file: AuditFile, options: WriterOptions) {
    this.#file = file;
    this.#options = options;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get queuedRecords(): number {
    return this.#queuedRecords;
  }

  /** Why nothing can be written right now, or `null`. */
  get fault(): string | null {
    return this.#fault;
  }

  /** Queues a copy of one line. A `waiter` is told once the line is durable, or that it may not be. */
  push(line: Buffer, waiter: Waiter | null): void {
    this.#open.add(line, waiter);
    this.#queuedBytes += line.length;
    this.#queuedRecords++;
    if (waiter !== null) this.#soon();
    else if (this.#timer === null) this.#later();
  }

  /** Tells when everything that was queued so far is durable. */
  whenDurable(waiter: Waiter): void {
    this.#open.waiters.push(waiter);
    this.#soon();
  }

  /** What was queued so far ends the file, which is then renamed to `archive`; what follows begins a new one. */
  endFile(archive: string): void {
    this.#open.archive = archive;
    this.#full.push(this.#open);
    this.#open = this.#newBatch();
    this.#soon();
  }

  /** To be called about once a second: sees whether the disk still answers, whose file it is, and syncs by the interval. */
  tick(): void {
    const { clock, stallMs, fsync, fsyncIntervalMs } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#busySinceMs !== null && nowMs - this.#busySinceMs >= stallMs)
      this.#fail(`the disk has not answered for ${stallMs} ms`);
    this.#inspectWanted = true;
    if (fsync === "interval" && nowMs - this.#syncedAtMs >= fsyncIntervalMs) {
      this.#syncedAtMs = nowMs;
      this.#syncWanted = true;
    }
    this.#soon();
  }

  /**
   * Writes and syncs what is queued, and closes the file.
   * @throws Error when that did not succeed in time; it tells how many records are missing
   */
  async close(timeoutMs: number): Promise<void> {
    this.#closing = true;
    this.#syncWanted = true;
    const deadline = setTimeout(() => this.#giveUp.abort(), timeoutMs);
    const givenUp = new Promise<void>((resolve) => {
      this.#giveUp.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    const finished = (async () => {
      await this.#running;
      await this.#start();
      await this.#file.close();
    })();
    try {
      await Promise.race([finished, givenUp]);
    } finally {
      clearTimeout(deadline);
    }
    if (this.#queuedRecords === 0 && !this.#giveUp.signal.aborted) return;
    this.#fail(this.#fault ?? "the disk did not answer in time");
    throw new Error(`${this.#queuedRecords} audit records could not be written: ${this.#fault}`);
  }

  /** Ends without writing what is queued: the start failed. */
  async abandon(): Promise<void> {
    this.#closing = true;
    this.#giveUp.abort();
    if (this.#busySinceMs === null) await this.#file.close();
  }

  #later(): void {
    if (this.#running !== null || this.#closing) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#soon();
    }, this.#options.flushMs);
  }

  #soon(): void {
    if (this.#running !== null || this.#immediate !== null || this.#closing) return;
    this.#immediate = setImmediate(() => {
      this.#immediate = null;
      void this.#start();
    });
  }

  #start(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#running ??= this.#drain().finally(() => {
      this.#running = null;
      if (this.#open.waiters.length > 0 || this.#full.length > 0) this.#soon();
      else if (this.#open.records > 0) this.#later();
    });
    return this.#running;
  }

  /** Never rejects: every step is tried until it succeeds or `close` gives up. */
  async #drain(): Promise<void> {
    for (let batch = this.#take(true); batch !== null; batch = this.#take(false)) {
      this.#current = batch;
      await this.#commit(batch);
      if (this.#giveUp.signal.aborted) return;
      this.#current = null;
    }
    if (this.#syncWanted) await this.#persist(() => this.#file.sync());
    this.#syncWanted = false;
    if (this.#inspectWanted) await this.#inspect();
  }

  /** Lines without a waiter go on gathering once a first write is made: a write for each would cost more than the lines. */
  #take(first: boolean): Batch | null {
    const full = this.#full.shift();
    if (full !== undefined) return full;
    const open = this.#open;
    if (open.waiters.length === 0 && (open.records === 0 || !(first || this.#closing))) return null;
    this.#open = this.#newBatch();
    return open;
  }

  #newBatch(): Batch {
    const used = this.#used;
    this.#used = undefined;
    return new Batch(used);
  }

  async #commit(batch: Batch): Promise<void> {
    this.#file.load(batch.bytes);
    const durable = this.#options.fsync === "always" || batch.waiters.length > 0;
    await this.#persist(async () => {
      await this.#file.append();
      if (durable) await this.#file.sync();
    });
    if (this.#giveUp.signal.aborted) return;
    this.#queuedBytes -= batch.length;
    this.#queuedRecords -= batch.records;
    batch.resolveAll();
    this.#used = batch.used;
    const { archive } = batch;
    if (archive !== null) await this.#persist(() => this.#file.turnOver(archive));
  }

  async #persist(step: () => Promise<void>): Promise<void> {
    for (let waitMs = RETRY_FROM_MS; !this.#giveUp.signal.aborted; waitMs = Math.min(waitMs * 2, RETRY_TO_MS)) {
      this.#busySinceMs = this.#options.clock.monotonicMs();
      try {
        await step();
        this.#busySinceMs = null;
        this.#recover();
        return;
      } catch (error) {
        this.#busySinceMs = null;
        this.#fail(error instanceof Error ? error.message : "unknown failure of the disk");
      }
      await this.#pause(waitMs);
    }
  }

  #pause(ms: number): Promise<void> {
    const { signal } = this.#giveUp;
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done, { once: true });
      function done(): void {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      }
    });
  }

  async #inspect(): Promise<void> {
    this.#inspectWanted = false;
    try {
      const disturbance = await this.#file.inspect();
      if (disturbance !== null) this.#options.onDisturbed(disturbance);
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : "the audit file cannot be looked at");
    }
  }

  #fail(cause: string): void {
    this.#current?.rejectAll(cause);
    for (const batch of this.#full) batch.rejectAll(cause);
    this.#open.rejectAll(cause);
    if (this.#fault !== null) return;
    this.#fault = cause;
    this.#options.onFault(cause);
  }

  #recover(): void {
    if (this.#fault === null) return;
    this.#fault = null;
    this.#options.onFault(null);
  }
}
