import type { Socket } from "node:net";

/** HTTP/2 written byte by byte (RFC 9113 §4, RFC 7541): what no client library would say. */
export const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;

export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Literal fields without indexing, strings as they are (RFC 7541 §6.2.2). */
export function block(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

export function headers(
  stream: number,
  fields: readonly (readonly [string, string])[],
  flags = END_STREAM | END_HEADERS,
): Buffer {
  return frame(TYPE.headers, flags, stream, block(fields));
}

/** A header block in frames that are not too large. */
export function inFrames(stream: number, whole: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let i = 0; i < whole.length; i += 16_384) {
    const isLast = i + 16_384 >= whole.length;
    const flags = (i === 0 ? END_STREAM : 0) | (isLast ? END_HEADERS : 0);
    frames.push(frame(i === 0 ? TYPE.headers : TYPE.continuation, flags, stream, whole.subarray(i, i + 16_384)));
  }
  return frames;
}

export function reset(stream: number, code: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(code);
  return frame(TYPE.reset, 0, stream, payload);
}

export function windowUpdate(stream: number, bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame(TYPE.window, 0, stream, payload);
}

/** @param pairs identifier and value by turns */
export function settings(...pairs: number[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 3);
  for (let i = 0; i < pairs.length; i += 2) {
    payload.writeUInt16BE(pairs[i] as number, i * 3);
    payload.writeUInt32BE(pairs[i + 1] as number, i * 3 + 2);
  }
  return frame(TYPE.settings, 0, 0, payload);
}

/** Integer with a prefix of seven bits (RFC 7541 §5.1), then the octets. */
function text(value: string): Buffer {
  const octets = Buffer.from(value, "latin1");
  const length: number[] = [];
  if (octets.length < 127) length.push(octets.length);
  else {
    length.push(127);
    let rest = octets.length - 127;
    for (; rest >= 128; rest >>>= 7) length.push((rest & 127) | 128);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), octets]);
}

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** The frames that come on a socket, as they come. */
export class FrameReader {
  readonly frames: Frame[] = [];
  closed = false;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("error", () => undefined);
    socket.on("end", () => {
      this.closed = true;
    });
    socket.on("close", () => {
      this.closed = true;
    });
  }

  of(type: number, stream?: number): Frame[] {
    return this.frames.filter((each) => each.type === type && (stream === undefined || each.stream === stream));
  }

  /** Error codes of resets by stream, and of GOAWAY under 0. */
  codes(): Map<number, number> {
    const resets = this.of(TYPE.reset).map(({ stream, payload }): [number, number] => [
      stream,
      payload.readUInt32BE(0),
    ]);
    const goaways = this.of(TYPE.goaway).map(({ payload }): [number, number] => [0, payload.readUInt32BE(4)]);
    return new Map([...resets, ...goaways]);
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      if (this.#rest.length < 9) return;
      const length = this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < 9 + length) return;
      const [type, flags] = [this.#rest[3] as number, this.#rest[4] as number];
      const payload = this.#rest.subarray(9, 9 + length);
      this.frames.push({ type, flags, stream: this.#rest.readUInt32BE(5) & 0x7fffffff, payload });
      this.#rest = this.#rest.subarray(9 + length);
    }
  }
}
