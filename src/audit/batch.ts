/** Somebody who waits until a record would survive a crash. */
export interface Waiter {
  resolve(): void;
  reject(cause: string): void;
}

/** Lines that go to the disk in one write. */
export class Batch {
  /** Sealed lines; ASCII, so its length is its size in bytes. */
  text = "";
  records = 0;
  readonly waiters: Waiter[] = [];
  /** Name that the file gets once this batch is in it: the batch is its last. */
  archive: string | null = null;

  add(line: string, waiter: Waiter | null): void {
    this.text += line;
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
