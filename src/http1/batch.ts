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
    if (bytes <= JOIN_BYTES) return writeRun(sink, pieces, 0, pieces.length, bytes);
    sink.cork();
    const flowing = writeRuns(sink, pieces);
    sink.uncork();
    return flowing;
  }
}

/** Neighbours are joined while they are small: a body in chunks of one byte must not cost three writes a byte. */
function writeRuns(sink: ByteSink, pieces: readonly (string | Buffer)[]): boolean {
  let start = 0;
  let bytes = 0;
  for (let i = 0; i < pieces.length; i++) {
    const size = (pieces[i] as string | Buffer).length;
    if (bytes + size > JOIN_BYTES && i > start) {
      writeRun(sink, pieces, start, i, bytes);
      start = i;
      bytes = 0;
    }
    bytes += size;
  }
  return writeRun(sink, pieces, start, pieces.length, bytes);
}

function writeRun(
  sink: ByteSink,
  pieces: readonly (string | Buffer)[],
  start: number,
  end: number,
  bytes: number,
): boolean {
  if (end - start > 1) return sink.write(join(pieces, start, end, bytes));
  const piece = pieces[start] as string | Buffer;
  return typeof piece === "string" ? sink.write(piece, "latin1") : sink.write(piece);
}

function join(pieces: readonly (string | Buffer)[], start: number, end: number, bytes: number): Buffer {
  const joined = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (let i = start; i < end; i++) {
    const piece = pieces[i] as string | Buffer;
    if (typeof piece === "string") at += joined.write(piece, at, "latin1");
    else {
      joined.set(piece, at);
      at += piece.length;
    }
  }
  return joined;
}
