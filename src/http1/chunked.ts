import type { Fields } from "../core/fields.ts";
import type { BodyConsumer, BodyDecoder, BodyLimits } from "./body.ts";
import { FIELD_VALUE, HEX, Http1Error } from "./grammar.ts";
import { scanFields } from "./head.ts";

const CR = 13;
const LF = 10;
const SEMICOLON = 59;

/** Hexadecimal digits that stay within 2^52. */
const MAX_SIZE_DIGITS = 13;
/** Extension bytes over a whole body: enough for every honest sender, too little to be used as a flood. */
const MAX_EXTENSION_BYTES = 16_384;

type State = "size" | "extension" | "size_lf" | "data" | "data_cr" | "data_lf" | "trailer_start" | "trailer" | "done";

/**
 * RFC 9112 §7.1, strictly: size digits, optional extension (dropped, bounded), CRLF, data, CRLF, and the trailer section.
 * Framing is never passed on; only the data and the parsed trailers leave.
 */
export class ChunkedDecoder implements BodyDecoder {
  readonly #limits: BodyLimits;
  #state: State = "size";
  #left = 0;
  #digits = 0;
  #extensionBytes = 0;
  #trailerText = "";
  trailers: Fields | null = null;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  get done(): boolean {
    return this.#state === "done";
  }

  endsAtClose(): boolean {
    return this.done;
  }

  push(segment: Buffer, consumer: BodyConsumer): number {
    let at = 0;
    while (at < segment.length && this.#state !== "done") {
      switch (this.#state) {
        case "data": {
          const end = Math.min(segment.length, at + this.#left);
          consumer.bodyData(segment.subarray(at, end));
          this.#left -= end - at;
          at = end;
          if (this.#left === 0) this.#state = "data_cr";
          break;
        }
        case "trailer":
          at = this.#trailer(segment, at);
          break;
        default:
          this.#framing(segment[at++] as number);
      }
    }
    return at;
  }

  #framing(byte: number): void {
    switch (this.#state) {
      case "size":
        this.#size(byte);
        break;
      case "extension":
        if (byte === CR) this.#state = "size_lf";
        else if (FIELD_VALUE[byte] === 0) throw new Http1Error("chunk_extension");
        else if (++this.#extensionBytes > MAX_EXTENSION_BYTES) throw new Http1Error("chunk_extension");
        break;
      case "size_lf":
        if (byte !== LF) throw new Http1Error("bare_cr");
        this.#digits = 0;
        this.#state = this.#left === 0 ? "trailer_start" : "data";
        break;
      case "data_cr":
        if (byte !== CR) throw new Http1Error("chunk_data");
        this.#state = "data_lf";
        break;
      case "data_lf":
        if (byte !== LF) throw new Http1Error("chunk_data");
        this.#state = "size";
        break;
      case "trailer_start":
        this.#trailerText = String.fromCharCode(byte);
        this.#state = "trailer";
        break;
      case "data":
      case "trailer":
      case "done":
        throw new Error(`chunked decoder: no framing byte belongs to ${this.#state}`);
    }
  }

  #size(byte: number): void {
    const digit = HEX[byte] as number;
    if (digit < 16) {
      if (++this.#digits > MAX_SIZE_DIGITS) throw new Http1Error("chunk_size");
      this.#left = this.#left * 16 + digit;
      return;
    }
    if (this.#digits === 0) throw new Http1Error("chunk_size");
    if (byte === CR) this.#state = "size_lf";
    else if (byte === SEMICOLON) this.#state = "extension";
    else throw new Http1Error(byte === LF ? "bare_lf" : "chunk_size");
  }

  /** Gathers the trailer section up to its empty line, then parses it whole. */
  #trailer(segment: Buffer, start: number): number {
    let at = start;
    while (at < segment.length) {
      const lf = segment.indexOf(LF, at);
      const end = lf < 0 ? segment.length : lf + 1;
      this.#trailerText += segment.toString("latin1", at, end);
      if (this.#trailerText.length > this.#limits.trailerBytes) throw new Http1Error("trailer_bytes");
      at = end;
      if (this.#trailerText === "\r\n" || this.#trailerText.endsWith("\r\n\r\n")) {
        const fields = scanFields(this.#trailerText, 0, this.#limits.trailerFields);
        this.trailers = fields.length === 0 ? null : fields;
        this.#trailerText = "";
        this.#state = "done";
        break;
      }
      if (lf >= 0 && !this.#trailerText.endsWith("\r\n")) throw new Http1Error("bare_lf");
    }
    return at;
  }
}
