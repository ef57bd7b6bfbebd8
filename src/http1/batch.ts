/** What a batch is written to; net and TLS sockets are. */
export interface ByteSink {
  cork(): void;
  uncork(): void;
  write(chunk: string | Uint8Array, encoding?: BufferEncoding): boolean;
}

/** Up to here pieces are joined into one buffer: copying 16 KiB costs less than a second write and TLS record. */
const JOIN_BYTES = 16_384;

/**
 * Gathers the pieces of one message segment (head, framing, body slices) so that they leave in one write: one TLS record and
 * one system call instead of several.
 */
export class Batch {
  #pieces: (string | Buffer)[] = [];
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  /** @param text Latin-1 */
  text(text: string): void {
    this.#pieces.push(text);
    this.#bytes += text.length;
  }

  bytes(chunk: Buffer): void {
    this.#pieces.push(chunk);
    this.#bytes += chunk.length;
  }

  /** Forgets what was gathered. */
  clear(): void {
    this.#pieces = [];
    this.#bytes = 0;
  }

  /** Writes everything gathered. @returns the sink's back-pressure answer: `false` = wait for drain */
  writeTo(sink: ByteSink): boolean {
    const pieces = this.#pieces;
    const bytes = this.#bytes;
    this.#pieces = [];
    this.#bytes = 0;
    if (pieces.length === 0) return true;
    if (pieces.length === 1) return writePiece(sink, pieces[0] as string | Buffer);
    if (bytes <= JOIN_BYTES) return sink.write(join(pieces, bytes));
    sink.cork();
    let flowing = true;
    for (const piece of pieces) flowing = writePiece(sink, piece);
    sink.uncork();
    return flowing;
  }
}

function writePiece(sink: ByteSink, piece: string | Buffer): boolean {
  return typeof piece === "string" ? sink.write(piece, "latin1") : sink.write(piece);
}

function join(pieces: readonly (string | Buffer)[], bytes: number): Buffer {
  const joined = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const piece of pieces) {
    if (typeof piece === "string") at += joined.write(piece, at, "latin1");
    else {
      joined.set(piece, at);
      at += piece.length;
    }
  }
  return joined;
}
