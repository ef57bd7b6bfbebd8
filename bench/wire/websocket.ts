import { createHash } from "node:crypto";

/**
 * The little of RFC 6455 that the bench needs: one message that is sent over and over, in one unfragmented binary frame.
 * Hand-made, since a library on both sides would eat the core that load generator and upstream share.
 */

/** One message, bytes. */
export const MESSAGE_BYTES = 64;

const MESSAGE = Buffer.alloc(MESSAGE_BYTES, "postern ");

const FIN_BINARY = 0x82;
const FIN_CLOSE = 0x88;
const MASKED = 0x80;
/** Lengths from 126 on are written in further bytes: nobody here sends such. */
const LONGEST_BYTES = 125;

/** The message as the upstream says it. */
export const FRAME_TO_CLIENT = Buffer.concat([Buffer.of(FIN_BINARY, MESSAGE_BYTES), MESSAGE]);

/** The message as a client says it: masked (RFC 6455 §5.3), always with the same key, which costs the reader the same. */
export const FRAME_TO_SERVER = maskedFrame(Buffer.of(0x1a, 0x2b, 0x3c, 0x4d));

function maskedFrame(key: Buffer): Buffer {
  const payload = Buffer.from(MESSAGE);
  unmask(payload, key);
  return Buffer.concat([Buffer.of(FIN_BINARY, MASKED | MESSAGE_BYTES), key, payload]);
}

/** What the server answers to a client's `Sec-WebSocket-Key` (RFC 6455 §4.2.2). */
export function acceptOf(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

const HEADER_BYTES = 2;
const KEY_BYTES = 4;

/** Reads short, unfragmented frames of a client. */
export class ClientFrames {
  readonly #onMessage: (payload: Buffer) => void;
  readonly #onClose: () => void;
  #held: Buffer | null = null;

  constructor(onMessage: (payload: Buffer) => void, onClose: () => void) {
    this.#onMessage = onMessage;
    this.#onClose = onClose;
  }

  /** @throws Error on a frame that no contender has a reason to send */
  push(arrived: Buffer): void {
    const bytes = this.#held === null ? arrived : Buffer.concat([this.#held, arrived]);
    this.#held = null;
    let at = 0;
    while (at < bytes.length) {
      const end = frameEnd(bytes, at);
      if (end > bytes.length) {
        this.#held = bytes.subarray(at);
        return;
      }
      const start = at + HEADER_BYTES + KEY_BYTES;
      const payload = bytes.subarray(start, end);
      unmask(payload, bytes.subarray(start - KEY_BYTES, start));
      if (bytes[at] === FIN_BINARY) this.#onMessage(payload);
      else if (bytes[at] === FIN_CLOSE) this.#onClose();
      else throw new Error(`a frame that begins with ${bytes[at]}`);
      at = end;
    }
  }
}

function frameEnd(bytes: Buffer, at: number): number {
  if (bytes.length < at + HEADER_BYTES) return Number.POSITIVE_INFINITY;
  const length = (bytes[at + 1] as number) & ~MASKED;
  if (bytes[at + 1] === length) throw new Error("a client's frame without a mask");
  if (length > LONGEST_BYTES) throw new Error("a frame that is longer than any that was sent");
  return at + HEADER_BYTES + KEY_BYTES + length;
}

function unmask(payload: Buffer, key: Buffer): void {
  for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] as number) ^ (key[i & 3] as number);
}
