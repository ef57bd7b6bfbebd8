/** Somebody who waits until a record would survive a crash. */
export interface Waiter {
  resolve(): void;
  reject(cause: string): void;
}

const FIRST_BYTES = 16 * 1024;
const MOST_KEPT_BYTES = 2 * 1024 * 1024;

/** Lines that go to the disk in one write. */
export class Batch {
  records = 0;
  readonly waiters: Waiter[] = [];
  /** Name that the file gets once this batch is in it: the batch is its last. */
  archive: string | null = null;
  #buffer: Buffer;
  #length = 0;

  /** @param buffer of a batch that is on the disk, to be written over; its lines have to go somewhere, and new memory costs more */
  constructor(buffer: Buffer = NOTHING) {
    this.#buffer = buffer;
  }

  /** For the next batch, once this one is on the disk; what a rush has made large is let go. */
  get used(): Buffer {
    return this.#buffer.length <= MOST_KEPT_BYTES ? this.#buffer : NOTHING;
  }

  /** Size of the lines, in bytes. */
  get length(): number {
    return this.#length;
  }

  /** The sealed lines. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** @param line copied: it may be written over afterwards */
  add(line: Buffer, waiter: Waiter | null): void {
    const end = this.#length + line.length;
    if (end > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, 2 * end));
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    line.copy(this.#buffer, this.#length);
    this.#length = end;
    this.records++;
    if (waiter !== null) this.waiters.push(waiter);
  }

  resolveAll(): void {
    for (const waiter of this.waiters.splice(0)) waiter.resolve();
  }

  rejectAll(cause: string): void {
    for (const waiter of this.waiters.splice(0)) waiter.reject(cause);
  }
}

const NOTHING = Buffer.alloc(0);
