import { createHash, randomBytes } from "node:crypto";
import type { ServerHttp2Stream } from "node:http2";
import { Denial } from "../../core/denial.ts";
import type { Fields } from "../../core/fields.ts";
import type { RawStream } from "../../core/wire.ts";
import { ERROR_CODE } from "../../http2/codes.ts";
import { resetStream } from "../../http2/reset.ts";

/**
 * A WebSocket over HTTP/2 (RFC 8441) needs no handshake key; inside the house an upgrade has the form of RFC 6455, so that there
 * is one, and the upstream is held to it. Clients that say a key all the same want its answer (undici does).
 */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export interface HandshakeKey {
  readonly key: string;
  /** The guest said it, and gets the answer. */
  readonly isGuests: boolean;
}

/** The key of the request, which is given one where it has none. */
export function handshakeKey(fields: Fields): HandshakeKey {
  const said = fields.get("sec-websocket-key");
  if (said !== null) return { key: said, isGuests: true };
  const key = randomBytes(16).toString("base64");
  fields.append("Sec-WebSocket-Key", key);
  return { key, isGuests: false };
}

/** Looks at the answer to the key in a 101. @throws Denial `upstream_protocol` when it is not the right one (RFC 6455 §4.1) */
export function checkAccept(fields: Fields, { key, isGuests }: HandshakeKey): void {
  const wanted = createHash("sha1")
    .update(key + GUID)
    .digest("base64");
  const said = fields.all("sec-websocket-accept");
  if (said.length !== 1 || said[0] !== wanted)
    throw new Denial("upstream_protocol", { cause: "the upstream did not accept the WebSocket key" });
  if (!isGuests) fields.dropAll("sec-websocket-accept");
}

/** The stream as a raw one: to destroy it is to reset it (RFC 8441 §5), since its end would look orderly. */
export function rawStream(stream: ServerHttp2Stream): RawStream {
  const destroy = stream.destroy.bind(stream);
  const destroyByReset = (error?: Error): ServerHttp2Stream => {
    const isOpen = !stream.closed && !(stream.writableFinished && stream.readableEnded);
    // A session that ends takes its streams with it, and nothing more is sent.
    if (error !== undefined || !isOpen || stream.session?.destroyed !== false) return destroy(error);
    resetStream(stream, ERROR_CODE.cancel);
    return stream;
  };
  stream.destroy = destroyByReset;
  return stream;
}
