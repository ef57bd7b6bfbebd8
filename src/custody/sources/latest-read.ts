/**
 * One read of a thing runs at a time: a disk that hangs then holds one of the few threads that the process has for all of its
 * files and lookups, and not one a waiting guest. Whoever comes meanwhile shares the next read, which begins after they asked,
 * so that nobody is told what was there before.
 */
export class LatestRead<T> {
  readonly #read: () => Promise<T>;
  #running: Promise<T> | null = null;
  #queued: Promise<T> | null = null;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  run(): Promise<T> {
    return this.#running === null ? this.#start() : this.#next(this.#running);
  }

  /** Shares the read that runs, for those whom what was there when it began will do as well. */
  join(): Promise<T> {
    return this.#running ?? this.#start();
  }

  #start(): Promise<T> {
    this.#running = this.#read().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  #next(running: Promise<T>): Promise<T> {
    const begin = (): Promise<T> => {
      this.#queued = null;
      return this.#running ?? this.#start();
    };
    // What became of the read before is of no interest to this one.
    this.#queued ??= running.then(begin, begin);
    return this.#queued;
  }
}
