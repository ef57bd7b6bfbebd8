import type { ByteBudget } from "../../core/byte-budget.ts";
import { Denial } from "../../core/denial.ts";
import type { Fields } from "../../core/fields.ts";
import type { BodyLength, BodySink, RequestBody } from "../../core/wire.ts";
import { ChunkBuffer } from "./chunk-buffer.ts";
import { HeldChunks } from "./held-chunks.ts";

/** The signatures of one body, each made from the one before. */
export interface ChunkSigner {
  /** @returns 64 hex characters */
  chunk(data: Buffer): string;
  /** @param lines `name:value` lines, each ended by LF */
  trailers(lines: string): string;
}

export interface ChunkRules {
  /** `null`: chunks carry no signature and pass as they come. */
  readonly signer: ChunkSigner | null;
  /** Names of the trailers that may come, or `null` where there are none. */
  readonly trailers: readonly string[] | null;
  /** What the chunks have to add up to, bytes. */
  readonly decodedBytes: number;
  /** Bytes of a chunk that is signed: it is held until its signature, which goes before it, is made. */
  readonly mostChunkBytes: number;
  /** What of it may be held, by this exchange and by all. */
  readonly budget: ByteBudget;
  readonly owner: string;
}

type State = "size" | "data" | "after_data" | "trailers" | "over" | "broken";

/** A size line is at most as long as 16 digits with a signature, a trailer line as this. */
const MOST_LINE_BYTES = 512;
const MOST_TRAILERS = 16;
const CR = 13;
const LF = 10;
const SIGNED_SIZE = /^([0-9a-fA-F]{1,8});chunk-signature=[0-9a-f]{64}$/;
const UNSIGNED_SIZE = /^([0-9a-fA-F]{1,12})$/;
/** Some clients end a line with LF before its CRLF. */
const TRAILER = /^([a-z0-9-]{1,64}):[ \t]*([\x21-\x7e]{1,256})[ \t]*\n?$/;
const TRAILER_SIGNATURE = "x-amz-trailer-signature";
const SIGNATURE_CHARS = 64;
const EMPTY = Buffer.alloc(0);

/**
 * The chunks of S3 (`aws-chunked`) inside of a body, parsed strictly and, where they are signed, each signed anew. A signature is
 * as long as the one it replaces, so the body keeps its length. The guest's own signatures are made with a stand-in and say
 * nothing. What ends the body leaves only once all of it has held: the upstream sees no whole body otherwise.
 */
export class ChunkedPayload implements RequestBody, BodySink {
  readonly length: BodyLength;
  readonly expectContinue: boolean;
  readonly #body: RequestBody;
  readonly #rules: ChunkRules;
  readonly #held: HeldChunks;
  readonly #take = (bytes: number): void => this.#held.take(bytes);
  #sink: BodySink | null = null;
  #state: State = "size";
  #line = "";
  #chunk: ChunkBuffer | null = null;
  /** Bytes of the running chunk that are still to come. */
  #left = 0;
  #decoded = 0;
  /** CRLF behind a chunk: it goes with what comes next, so that no chunk is the end of a body that ends too early. */
  #lead = "";
  /** What ends the body, held until it has. */
  #end = "";
  readonly #seen: string[] = [];
  /** `name:value` lines, each ended by LF, as they are signed. */
  #trailers = "";
  #isTrailerSigned = false;

  constructor(body: RequestBody, rules: ChunkRules) {
    this.length = body.length;
    this.expectContinue = body.expectContinue;
    this.#body = body;
    this.#rules = rules;
    this.#held = new HeldChunks(rules.budget, rules.owner);
  }

  start(sink: BodySink): void {
    this.#sink = sink;
    this.#body.start(this);
  }

  resume(): void {
    this.#body.resume();
  }

  bodyFlush(): boolean {
    return this.#sink?.bodyFlush() ?? true;
  }

  bodyData(piece: Buffer): void {
    try {
      for (let at = 0; at < piece.length && this.#sink !== null;) at = this.#step(piece, at);
    } catch (thrown) {
      this.bodyBroken(Denial.from(thrown));
    }
  }

  bodyEnd(trailers: Fields | null): void {
    const sink = this.#sink;
    if (sink === null) return;
    if (this.#state !== "over") {
      this.bodyBroken(misframed("the last chunk is missing"));
      return;
    }
    sink.bodyData(Buffer.from(this.#end, "latin1"));
    sink.bodyEnd(trailers);
  }

  bodyBroken(denial: Denial): void {
    const sink = this.#sink;
    this.abandon();
    sink?.bodyBroken(denial);
  }

  abandon(): void {
    this.#sink = null;
    this.#state = "broken";
    this.#chunk = null;
    this.#held.giveAll();
  }

  /** @returns how far the piece was read */
  #step(piece: Buffer, at: number): number {
    if (this.#state === "data") return this.#data(piece, at);
    if (this.#state === "over") throw misframed("something follows the last chunk");
    const lf = this.#lineEnd(piece, at);
    const end = lf < 0 ? piece.length : lf + 1;
    if (this.#line.length + end - at > MOST_LINE_BYTES) throw misframed("a line is too long");
    this.#line += piece.toString("latin1", at, end);
    if (lf >= 0) {
      const line = this.#line.slice(0, -2);
      this.#line = "";
      this.#lineRead(line);
    }
    return end;
  }

  /** Index of an LF that follows a CR, or -1. */
  #lineEnd(piece: Buffer, at: number): number {
    for (let lf = piece.indexOf(LF, at); lf >= 0; lf = piece.indexOf(LF, lf + 1)) {
      const before = lf > at ? piece[lf - 1] : this.#line.charCodeAt(this.#line.length - 1);
      if (before === CR) return lf;
    }
    return -1;
  }

  #lineRead(line: string): void {
    if (this.#state === "size") this.#sizeRead(line);
    else if (this.#state === "after_data") this.#chunkRead(line);
    else this.#trailerRead(line);
  }

  #sizeRead(line: string): void {
    const { signer, decodedBytes, mostChunkBytes } = this.#rules;
    const text = (signer === null ? UNSIGNED_SIZE : SIGNED_SIZE).exec(line)?.[1];
    if (text === undefined) throw misframed("a chunk begins with no size line of its kind");
    const size = Number.parseInt(text, 16);
    if (signer !== null && size > mostChunkBytes)
      throw new Denial("body_too_large", { cause: `a chunk has more than ${mostChunkBytes} bytes` });
    this.#decoded += size;
    if (this.#decoded > decodedBytes || (size === 0 && this.#decoded !== decodedBytes))
      throw new Denial("body_digest_mismatch", {
        cause: "the chunks do not add up to x-amz-decoded-content-length",
      });
    if (size === 0) {
      const last = signer === null ? line : `${text};chunk-signature=${signer.chunk(EMPTY)}`;
      this.#end = `${this.#lead}${last}\r\n`;
      this.#state = "trailers";
      return;
    }
    if (signer === null) this.#sink?.bodyData(Buffer.from(`${this.#lead}${line}\r\n`, "latin1"));
    else this.#chunk = new ChunkBuffer(this.#lead, text, size, this.#take);
    this.#left = size;
    this.#state = "data";
  }

  #data(piece: Buffer, at: number): number {
    const end = Math.min(piece.length, at + this.#left);
    const part = piece.subarray(at, end);
    if (this.#chunk === null) this.#sink?.bodyData(part);
    else this.#chunk.add(part);
    this.#left -= part.length;
    if (this.#left === 0) this.#state = "after_data";
    return end;
  }

  #chunkRead(line: string): void {
    if (line !== "") throw misframed("a chunk is longer than its size says");
    const { signer } = this.#rules;
    const chunk = this.#chunk;
    this.#chunk = null;
    this.#state = "size";
    this.#lead = "\r\n";
    if (signer === null || chunk === null) return;
    this.#sink?.bodyData(chunk.signed(signer.chunk(chunk.data)));
    this.#held.giveAll();
  }

  #trailerRead(line: string): void {
    const { signer, trailers } = this.#rules;
    if (line === "") {
      if (trailers !== null && this.#seen.length !== trailers.length)
        throw misframed("an announced trailer is missing");
      if (signer !== null && trailers !== null && !this.#isTrailerSigned)
        throw misframed("the trailers are not signed");
      this.#end += "\r\n";
      this.#state = "over";
      return;
    }
    const [, name, value] = TRAILER.exec(line) ?? [];
    if (trailers === null || name === undefined || this.#isTrailerSigned)
      throw misframed("a trailer line that has no place");
    if (name === TRAILER_SIGNATURE && signer !== null) {
      if (!/^[0-9a-f]{64}$/.test(value ?? "")) throw misframed("a trailer signature that is none");
      // In its place, blanks and all: with a byte less than was announced, the next request would begin inside of this one.
      const start = line.lastIndexOf(value as string);
      const behind = line.slice(start + SIGNATURE_CHARS);
      this.#end += `${line.slice(0, start)}${signer.trailers(this.#trailers)}${behind}\r\n`;
      this.#isTrailerSigned = true;
      return;
    }
    if (!trailers.includes(name) || this.#seen.includes(name) || this.#seen.length >= MOST_TRAILERS)
      throw misframed("a trailer that x-amz-trailer does not announce");
    this.#seen.push(name);
    this.#trailers += `${name}:${value}\n`;
    this.#end += `${line}\r\n`;
  }
}

function misframed(cause: string): Denial {
  return new Denial("body_unfit", { cause });
}
