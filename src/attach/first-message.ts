import { isUtf8 } from "node:buffer";
import { Denial } from "../core/denial.ts";
import { clientText, type FrameHeader, frameHeader, mask, OPCODE } from "./websocket-frame.ts";

/** A first message, and whatever a guest says before it is complete. */
const MOST_BYTES = 65_536;

/**
 * Reads a WebSocket of a guest up to the end of its first message (RFC 6455 §5): control frames go on as they came, the text
 * message goes on with what `swap` makes of it, in one frame and under a mask of our own.
 */
export class FirstMessage {
  readonly #swap: (text: string) => string;
  readonly #randomBytes: (size: number) => Buffer;
  /** What came of a frame that is not complete. */
  readonly #rest = new Gathered();
  /** So many bytes have to be there before it is worth a look: what comes byte by byte is not looked at each time. */
  #needed = 2;
  readonly #payload = new Gathered();
  #hasBegun = false;

  /** @param swap throws Denial for a text that must not leave */
  constructor(swap: (text: string) => string, randomBytes: (size: number) => Buffer) {
    this.#swap = swap;
    this.#randomBytes = randomBytes;
  }

  /**
   * @returns what goes on now; `isOver` once the message is among it, and everything behind it
   * @throws MessageFault when the message cannot be passed on
   */
  take(chunk: Buffer): { readonly out: Buffer | null; readonly isOver: boolean } {
    let bytes = chunk;
    if (this.#rest.length > 0 || chunk.length < this.#needed) {
      this.#rest.add(chunk);
      if (this.#rest.length < this.#needed) return NOT_YET;
      bytes = this.#rest.take();
    }
    const out: Buffer[] = [];
    let at = 0;
    for (;;) {
      const header = this.#headerAt(bytes, at);
      const end = header === null ? Number.POSITIVE_INFINITY : at + header.size + header.length;
      if (header === null || end > bytes.length) {
        this.#keep(bytes.subarray(at), header);
        return { out: joined(out), isOver: false };
      }
      if (header.opcode >= OPCODE.close) out.push(bytes.subarray(at, end));
      else this.#addPayload(bytes, at, header);
      at = end;
      if (header.opcode < OPCODE.close && header.isLast) {
        out.push(this.#message(), bytes.subarray(at));
        return { out: joined(out), isOver: true };
      }
    }
  }

  #keep(rest: Buffer, header: FrameHeader | null): void {
    if (rest.length > 0) this.#rest.add(rest);
    this.#needed = header === null ? rest.length + 1 : header.size + header.length;
  }

  /** @returns `null` when more bytes are needed */
  #headerAt(bytes: Buffer, at: number): FrameHeader | null {
    const header = frameHeader(bytes, at);
    if (header === null) return null;
    if (header === "malformed") throw malformed("a length is not in as few bytes as it takes");
    // §5.1: what a client says is masked.
    if (!header.isMasked) throw malformed("a frame is not masked");
    if (header.reserved !== 0) throw malformed("a reserved bit is set, and no extension was agreed on");
    if (header.opcode >= OPCODE.close) {
      // §5.5.
      if (header.opcode > OPCODE.pong || !header.isLast || header.length > 125)
        throw malformed("a control frame is not one");
      return header;
    }
    if (header.opcode > OPCODE.binary) throw malformed("an opcode is unknown");
    // §5.4.
    if ((header.opcode === OPCODE.continuation) !== this.#hasBegun) throw malformed("a fragment is out of place");
    if (header.opcode === OPCODE.binary) throw unfit("is not text", CLOSE.unsupported);
    if (this.#payload.length + header.length > MOST_BYTES) throw tooLarge();
    return header;
  }

  #addPayload(bytes: Buffer, at: number, { size, length }: FrameHeader): void {
    this.#hasBegun = true;
    const start = at + size;
    // A copy: what arrived is not ours to change.
    const payload = this.#payload.add(bytes.subarray(start, start + length));
    mask(payload, bytes.subarray(start - 4, start));
  }

  #message(): Buffer {
    const bytes = this.#payload.take();
    if (!isUtf8(bytes)) throw unfit("is not UTF-8", CLOSE.notText);
    return clientText(Buffer.from(this.#swapped(bytes.toString("utf8"))), this.#randomBytes(4));
  }

  #swapped(text: string): string {
    try {
      return this.#swap(text);
    } catch (thrown) {
      throw new MessageFault(Denial.from(thrown), CLOSE.policy);
    }
  }
}

const FIRST_BYTES = 256;

/**
 * Pieces in one buffer, which grows by doubling: a guest that says a byte at a time would have each of them cost an object, or
 * the whole segment that it came in.
 */
class Gathered {
  #bytes: Buffer = NOTHING;
  length = 0;

  /** @returns the copy of the piece */
  add(piece: Buffer): Buffer {
    const start = this.length;
    this.length += piece.length;
    if (this.length > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, this.length, this.#bytes.length * 2));
      this.#bytes.copy(grown, 0, 0, start);
      this.#bytes = grown;
    }
    piece.copy(this.#bytes, start);
    return this.#bytes.subarray(start, this.length);
  }

  /** All of it; nothing is left here. */
  take(): Buffer {
    const all = this.#bytes.subarray(0, this.length);
    this.#bytes = NOTHING;
    this.length = 0;
    return all;
  }
}

const NOTHING = Buffer.alloc(0);
const NOT_YET = Object.freeze({ out: null, isOver: false });

function joined(pieces: readonly Buffer[]): Buffer | null {
  if (pieces.length === 0) return null;
  return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
}

/** Why a message is not passed on, and the code of the close frame that says so (RFC 6455 §7.4.1). */
export class MessageFault extends Error {
  readonly denial: Denial;
  readonly closeCode: number;

  constructor(denial: Denial, closeCode: number) {
    super(denial.code);
    this.denial = denial;
    this.closeCode = closeCode;
  }
}

const CLOSE = { protocol: 1002, unsupported: 1003, notText: 1007, policy: 1008, tooLarge: 1009 } as const;

function malformed(cause: string): MessageFault {
  return new MessageFault(new Denial("request_malformed", { cause: `WebSocket: ${cause}` }), CLOSE.protocol);
}

function unfit(cause: string, closeCode: number): MessageFault {
  return new MessageFault(
    new Denial("body_unfit", { cause: `the first message of the WebSocket ${cause}` }),
    closeCode,
  );
}

function tooLarge(): MessageFault {
  const cause = `the first message of the WebSocket has more than ${MOST_BYTES} bytes`;
  return new MessageFault(new Denial("body_too_large", { cause }), CLOSE.tooLarge);
}
