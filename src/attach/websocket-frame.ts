/** RFC 6455 §5.2: the header of a frame. */
export interface FrameHeader {
  readonly isLast: boolean;
  /** RSV1 to RSV3, which extensions use: none is agreed on where this is read. */
  readonly reserved: number;
  readonly opcode: number;
  readonly isMasked: boolean;
  /** Bytes of the header, with the masking key. */
  readonly size: number;
  /** Bytes of the payload. */
  readonly length: number;
}

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** @returns `null` when more bytes are needed, `"malformed"` when the length is not one that a frame may say */
export function frameHeader(bytes: Buffer, at: number): FrameHeader | null | "malformed" {
  if (bytes.length < at + 2) return null;
  const first = bytes.readUInt8(at);
  const second = bytes.readUInt8(at + 1);
  const isMasked = (second & 0x80) !== 0;
  const short = second & 0x7f;
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
  if (bytes.length < at + 2 + lengthBytes) return null;
  const length = lengthOf(bytes, at + 2, short);
  if (length === null) return "malformed";
  return {
    isLast: (first & 0x80) !== 0,
    reserved: first & 0x70,
    opcode: first & 0x0f,
    isMasked,
    size: 2 + lengthBytes + (isMasked ? 4 : 0),
    length,
  };
}

/** In as few bytes as it takes, and never beyond 2^53: nobody sends that. */
function lengthOf(bytes: Buffer, at: number, short: number): number | null {
  if (short < 126) return short;
  const length = short === 126 ? bytes.readUInt16BE(at) : bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
  return length > Number.MAX_SAFE_INTEGER || length < (short === 126 ? 126 : 65_536) ? null : length;
}

/** §5.3: masks or unmasks in place. */
export function mask(payload: Buffer, key: Buffer): void {
  for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] as number) ^ (key[i & 3] as number);
}

/** One text message in one frame, as a client says it. @param key four bytes that nobody can guess (§5.3) */
export function clientText(text: Buffer, key: Buffer): Buffer {
  const payload = Buffer.from(text);
  mask(payload, key);
  return Buffer.concat([header(0x80 | OPCODE.text, 0x80, payload.length), key, payload]);
}

/** A close frame, as a server says it. */
export function serverClose(code: number): Buffer {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return Buffer.concat([header(0x80 | OPCODE.close, 0, payload.length), payload]);
}

function header(first: number, maskBit: number, length: number): Buffer {
  if (length < 126) return Buffer.from([first, maskBit | length]);
  if (length < 65_536) {
    const bytes = Buffer.from([first, maskBit | 126, 0, 0]);
    bytes.writeUInt16BE(length, 2);
    return bytes;
  }
  const bytes = Buffer.alloc(10);
  bytes[0] = first;
  bytes[1] = maskBit | 127;
  bytes.writeUInt32BE(length, 6);
  return bytes;
}

/** Counts along where frames begin, of a side that is believed. */
export class FrameBorders {
  #head: Buffer = NOTHING;
  #left = 0;

  /** Nothing of a frame is under way. */
  get isAtBorder(): boolean {
    return this.#left === 0 && this.#head.length === 0;
  }

  take(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at);
        this.#left -= taken;
        at += taken;
        continue;
      }
      // A header has 14 bytes at most, however many chunks it comes in.
      const before = this.#head.length;
      const bytes = before === 0 ? chunk : Buffer.concat([this.#head, chunk.subarray(at, at + 14 - before)]);
      const from = before === 0 ? at : 0;
      const found = frameHeader(bytes, from);
      if (found === "malformed") {
        this.#left = Number.POSITIVE_INFINITY;
        return;
      }
      if (found === null || bytes.length - from < found.size) {
        // A copy: the chunk itself may be a piece of something large.
        this.#head = Buffer.from(bytes.subarray(from));
        return;
      }
      at += found.size - before;
      this.#head = NOTHING;
      this.#left = found.length;
    }
  }
}

const NOTHING = Buffer.alloc(0);
