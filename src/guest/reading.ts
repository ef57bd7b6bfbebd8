/** What a guest still has to read: `writableLength` of its socket or stream. */
interface Unread {
  readonly writableLength: number;
}

/** Whether a guest goes on reading its last answer: then it has more time for it. */
export class Reading {
  readonly #stream: Unread;
  /** When this was last looked at, in bytes. */
  #unread: number;

  /** @param stream to which all of the answer was handed */
  constructor(stream: Unread) {
    this.#stream = stream;
    this.#unread = stream.writableLength;
  }

  /** @returns whether it has read anything since this was last asked, or was made */
  hasGoneOn(): boolean {
    const before = this.#unread;
    this.#unread = this.#stream.writableLength;
    return this.#unread < before;
  }
}
