/**
 * A cheap, strict reader of HTTP/1.1 messages for the bench's own client and upstream: `node:http` there would eat the
 * core that the two share. It knows what the contenders send (length or chunked framing) and refuses everything else.
 */

const HEAD_END = Buffer.from("\r\n\r\n");
const HEAD_LIMIT_BYTES = 16_384;
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+) *\r\n/i;
const CHUNKED = /\r\ntransfer-encoding: *chunked *\r\n/i;

export interface MessageHandler {
  /** A whole head, start line to blank line, as Latin-1. */
  head(head: string): void;
  /** Body bytes `chunk[start..end)`, framing taken off. */
  body(chunk: Buffer, start: number, end: number): void;
  /** The message is complete. */
  end(): void;
}

type State = "head" | "length" | "chunk-size" | "chunk-data" | "chunk-end" | "trailers";

export class MessageReader {
  readonly #handler: MessageHandler;
  /** Bytes of a line or head that has not come in whole yet. */
  #held: Buffer | null = null;
  #state: State = "head";
  #remaining = 0;

  constructor(handler: MessageHandler) {
    this.#handler = handler;
  }

  /** Whether the last message is complete and no byte of a next one has come. */
  get isIdle(): boolean {
    return this.#state === "head" && this.#held === null;
  }

  /** @throws Error on bytes that are no message */
  push(arrived: Buffer): void {
    let bytes = arrived;
    if (this.#held !== null) {
      bytes = Buffer.concat([this.#held, arrived]);
      this.#held = null;
    }
    let at = 0;
    while (at < bytes.length) {
      const next = this.#step(bytes, at);
      if (next < 0) {
        this.#held = bytes.subarray(at);
        if (this.#held.length > HEAD_LIMIT_BYTES) throw new Error("message head or line has no end");
        return;
      }
      at = next;
    }
  }

  /** Consumes from `at`. @returns the next offset, or -1 when more bytes are needed */
  #step(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case "head":
        return this.#readHead(bytes, at);
      case "length":
      case "chunk-data":
        return this.#readBody(bytes, at);
      case "chunk-size":
        return this.#readLine(bytes, at, (line) => {
          this.#remaining = parseChunkSize(line);
          this.#state = this.#remaining === 0 ? "trailers" : "chunk-data";
        });
      case "chunk-end":
        return this.#readLine(bytes, at, (line) => {
          if (line !== "") throw new Error("chunk is longer than its size says");
          this.#state = "chunk-size";
        });
      case "trailers":
        return this.#readLine(bytes, at, (line) => {
          if (line === "") this.#finish();
        });
    }
  }

  #readHead(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(HEAD_END, at);
    if (end < 0) return -1;
    const head = bytes.toString("latin1", at, end + 4);
    const length = CONTENT_LENGTH.exec(head);
    const chunked = CHUNKED.test(head);
    if (length !== null && chunked) throw new Error("both content-length and chunked");
    this.#remaining = length === null ? 0 : Number(length[1]);
    this.#handler.head(head);
    if (chunked) this.#state = "chunk-size";
    else if (this.#remaining > 0) this.#state = "length";
    else this.#finish();
    return end + 4;
  }

  #readBody(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#remaining);
    this.#handler.body(bytes, at, end);
    this.#remaining -= end - at;
    if (this.#remaining === 0) {
      if (this.#state === "length") this.#finish();
      else this.#state = "chunk-end";
    }
    return end;
  }

  #readLine(bytes: Buffer, at: number, take: (line: string) => void): number {
    const end = bytes.indexOf("\r\n", at, "latin1");
    if (end < 0) return -1;
    take(bytes.toString("latin1", at, end));
    return end + 2;
  }

  #finish(): void {
    this.#state = "head";
    this.#handler.end();
  }
}

function parseChunkSize(line: string): number {
  if (!/^[0-9a-f]{1,8}(;.*)?$/i.test(line)) throw new Error(`no chunk size: ${JSON.stringify(line.slice(0, 40))}`);
  return Number.parseInt(line, 16);
}
