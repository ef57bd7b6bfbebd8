import { createHash } from "node:crypto";
import type { ClientHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";
import type { OutboundHead } from "../core/exchange.ts";
import { Fields } from "../core/fields.ts";
import { countSegment } from "../core/segment-memory.ts";
import type { AnswerHead } from "../core/wire.ts";
import { ERROR_CODE } from "../http2/codes.ts";
import { resetStream } from "../http2/reset.ts";
import type { StreamEnd } from "./http2-stream-end.ts";

/**
 * A WebSocket over HTTP/2 (RFC 8441): the DATA of one stream as a raw stream, half-close both ways. Destroying it resets the stream
 * with CANCEL, which Node's own stream would not: it would say NO_ERROR, as if all had been said.
 */
export class Http2Tunnel extends Duplex {
  readonly #stream: ClientHttp2Stream;
  #taken: ((error?: Error | null) => void) | null = null;
  #hasEnd = false;

  /** @param stream whose final head came, and that nobody reads yet */
  constructor(stream: ClientHttp2Stream, end: StreamEnd) {
    super({ allowHalfOpen: true });
    this.#stream = stream;
    // Whoever joins it listens as well; this one is for the moment before.
    this.on("error", () => undefined);
    stream.on("data", (chunk: Buffer) => {
      countSegment(chunk.length);
      if (!this.push(chunk)) stream.pause();
    });
    stream.on("end", () => {
      // One that a reset made is none.
      if (!end.isTrue) return;
      this.#hasEnd = true;
      this.push(null);
    });
    stream.on("drain", () => this.#settle());
    stream.on("close", () => this.#onClose());
  }

  override _read(): void {
    this.#stream.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#stream.write(chunk)) done();
    else this.#taken = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#stream.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#settle();
    const isWhole = this.readableEnded && this.writableFinished;
    if (!isWhole) resetStream(this.#stream, ERROR_CODE.cancel);
    done(error);
  }

  /** A reset is a close without an end, and ends this stream at once; after an end, what was read is still handed over. */
  #onClose(): void {
    if (this.#hasEnd && !this.readableEnded) this.once("end", () => this.destroy());
    else this.destroy();
  }

  #settle(): void {
    const taken = this.#taken;
    this.#taken = null;
    taken?.();
  }
}

/** RFC 6455 §1.3. */
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** The one Sec-WebSocket-Key of a handshake, or `null`. Of a guest that speaks HTTP/2 it is the edge that wrote it. */
export function websocketKey(head: OutboundHead): string | null {
  const [key, ...more] = head.fields.allSent("sec-websocket-key");
  return key === undefined || more.length > 0 ? null : key;
}

/** The 101 that an HTTP/1.1 upstream would have answered, in place of the 2xx of an extended CONNECT. */
export function switchingHead(head: AnswerHead, key: string): AnswerHead {
  const accept = createHash("sha1").update(`${key}${WEBSOCKET_GUID}`).digest("base64");
  const kept = [...head.fields.pairs()].filter(
    ([name]) => name !== "sec-websocket-accept" && name !== "content-length",
  );
  const fields = Fields.of([...kept, ["sec-websocket-accept", accept]]);
  return { status: 101, reason: "Switching Protocols", fields, length: "none" };
}
