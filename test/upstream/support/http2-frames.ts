import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";

/** Frame types (RFC 9113 §6). */
export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PUSH_PROMISE = 5;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function frame(type: number, flags: number, stream: number, payload: Buffer | string = ""): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

export const u32 = (...values: number[]): Buffer => {
  const buffer = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => buffer.writeUInt32BE(value, i * 4));
  return buffer;
};

/** Identifiers and values in turn (RFC 9113 §6.5.2). */
export function settings(...pairs: [number, number][]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6);
  pairs.forEach(([id, value], i) => {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  });
  return frame(SETTINGS, 0, 0, payload);
}

/** A field block without any table: literal names and values (RFC 7541 §6.2.2). */
export function block(...fields: [string, string][]): Buffer {
  return Buffer.concat(fields.map(([name, value]) => Buffer.concat([Buffer.of(0), text(name), text(value)])));
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  length.push(rest);
  return Buffer.concat([Buffer.from(length), bytes]);
}

export const headers = (stream: number, flags: number, ...fields: [string, string][]): Buffer =>
  frame(HEADERS, flags | END_HEADERS, stream, block(...fields));

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** One connection of a hand-made HTTP/2 server. */
export interface FramePeer {
  readonly socket: Socket;
  readonly index: number;
  readonly frames: Frame[];
  send(...frames: Buffer[]): void;
}

export interface FrameServer {
  readonly port: number;
  readonly peers: readonly FramePeer[];
  /** Frames of one type on one stream, of all connections. */
  framesOf(type: number, stream?: number): Frame[];
  close(): Promise<void>;
}

export interface FrameServerOptions {
  /** What is sent at once; SETTINGS by default. To later ones nothing where only the first is `greeted`. */
  readonly greeting?: readonly Buffer[];
  readonly greeted?: "all" | "first";
  /** SETTINGS of the other side are acknowledged, unless told otherwise. */
  readonly acknowledges?: boolean;
}

/** An HTTP/2 server without TLS that knows frames and nothing else: it says what the test says. */
export async function startFrames(
  serve: (peer: FramePeer, got: Frame) => void,
  { greeting = [settings()], greeted = "all", acknowledges = true }: FrameServerOptions = {},
): Promise<FrameServer> {
  const peers: FramePeer[] = [];
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    let pending = Buffer.alloc(0);
    let prefaced = false;
    const peer: FramePeer = {
      socket,
      index: peers.length,
      frames: [],
      send: (...frames) => void (socket.writable && socket.write(Buffer.concat(frames))),
    };
    peers.push(peer);
    socket.on("error", () => undefined);
    socket.on("end", () => socket.end());
    if (greeted === "all" || peer.index === 0) peer.send(...greeting);
    socket.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      if (!prefaced) {
        if (pending.length < PREFACE.length) return;
        pending = pending.subarray(PREFACE.length);
        prefaced = true;
      }
      while (pending.length >= 9 && pending.length >= 9 + pending.readUIntBE(0, 3)) {
        const length = pending.readUIntBE(0, 3);
        const got: Frame = {
          type: pending.readUInt8(3),
          flags: pending.readUInt8(4),
          stream: pending.readUInt32BE(5) & 0x7fffffff,
          payload: pending.subarray(9, 9 + length),
        };
        pending = pending.subarray(9 + length);
        peer.frames.push(got);
        if (got.type === SETTINGS && got.flags !== ACK && acknowledges) peer.send(frame(SETTINGS, ACK, 0));
        serve(peer, got);
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    peers,
    framesOf: (type, stream) =>
      peers.flatMap(({ frames }) =>
        frames.filter((each) => each.type === type && (stream === undefined || each.stream === stream)),
      ),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const { socket } of peers) socket.destroy();
      }),
  };
}
