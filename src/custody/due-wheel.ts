/** What can be due: it carries its own links, so that waiting costs no object. */
export interface Due<T> {
  nextDue: T | null;
  previousDue: T | null;
  /** The bucket that it waits in, or -1. */
  due: number;
}

const BUCKET_MS = 1_000;

/**
 * Things that wait for their time, a list a second. Adding and removing cost the same however many wait; nothing is due early.
 */
export class DueWheel<T extends Due<T>> {
  readonly #buckets = new Map<number, T>();
  /** Every bucket before this one is empty. */
  #next = 0;

  /** @param atMs not negative */
  add(item: T, atMs: number): void {
    this.remove(item);
    const bucket = Math.max(this.#next, Math.ceil(atMs / BUCKET_MS));
    const head = this.#buckets.get(bucket) ?? null;
    item.due = bucket;
    item.nextDue = head;
    if (head !== null) head.previousDue = item;
    this.#buckets.set(bucket, item);
  }

  remove(item: T): void {
    if (item.due < 0) return;
    const { nextDue, previousDue, due } = item;
    if (nextDue !== null) nextDue.previousDue = previousDue;
    if (previousDue !== null) previousDue.nextDue = nextDue;
    else if (nextDue !== null) this.#buckets.set(due, nextDue);
    else this.#buckets.delete(due);
    item.nextDue = null;
    item.previousDue = null;
    item.due = -1;
  }

  /** Takes out everything whose second has begun. */
  *due(nowMs: number): Generator<T> {
    const last = Math.floor(nowMs / BUCKET_MS);
    if (last < this.#next) return;
    // After a long pause there are fewer buckets than seconds.
    const buckets =
      last - this.#next > this.#buckets.size
        ? [...this.#buckets.keys()].filter((bucket) => bucket <= last).sort((a, b) => a - b)
        : Array.from({ length: last - this.#next + 1 }, (_, i) => this.#next + i);
    // What is added meanwhile goes behind what is being looked at.
    this.#next = last + 1;
    for (const bucket of buckets) {
      for (let item = this.#buckets.get(bucket); item !== undefined; item = this.#buckets.get(bucket)) {
        this.remove(item);
        yield item;
      }
    }
  }
}
