import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { type ClientHttp2Session, constants, type Http2Stream, type ServerHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";

/**
 * `ws` knows the upgrade of HTTP/1.1 alone. Here it writes and reads that one, and on the wire is the extended CONNECT that
 * stands for it (RFC 8441), with every frame as `ws` made it.
 */

/** What `ws` takes for its connection: of the session one stream. The session ends with it. */
export function upgradable(session: ClientHttp2Session): Duplex {
  const duplex = new HeadFirst((head) => {
    const { start, fields } = headOf(head);
    const key = fields.get("sec-websocket-key") ?? "";
    const stream = session.request(
      {
        ...Object.fromEntries([...fields].filter(([name]) => !HOP.has(name) && name !== "host")),
        ":method": "CONNECT",
        ":protocol": "websocket",
        ":scheme": "https",
        ":path": start.split(" ")[1],
        ":authority": fields.get("host"),
      },
      { endStream: false },
    );
    stream.on("response", (answer) => {
      const lines = Object.entries(answer).filter(([name]) => !name.startsWith(":"));
      const isOpen = answer[":status"] === 200;
      if (isOpen)
        lines.push(["upgrade", "websocket"], ["connection", "Upgrade"], ["sec-websocket-accept", accept(key)]);
      const first = `HTTP/1.1 ${isOpen ? 101 : answer[":status"]} As HTTP/2 says`;
      duplex.push([first, ...lines.map(([name, value]) => `${name}: ${String(value)}`), "", ""].join("\r\n"));
    });
    return stream;
  });
  duplex.on("close", () => session.destroy());
  return duplex;
}

/** The request and the connection that a server of `ws` upgrades. @param raw names and values in turn, pseudo fields too */
export function upgraded(
  stream: ServerHttp2Stream,
  raw: readonly string[],
): { request: IncomingMessage; socket: Duplex } {
  const headers: Record<string, string> = { upgrade: "websocket", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==" };
  for (let i = 0; i < raw.length; i += 2) headers[raw[i] as string] = raw[i + 1] as string;
  const socket = new HeadFirst((head) => {
    const { start, fields } = headOf(head);
    const status = Number(start.split(" ")[1]);
    const kept = [...fields].filter(([name]) => !HOP.has(name) && name !== "sec-websocket-accept");
    stream.respond({ ...Object.fromEntries(kept), ":status": status === 101 ? 200 : status });
    return stream;
  });
  return { request: { method: "GET", url: headers[":path"], headers } as IncomingMessage, socket };
}

const HOP: ReadonlySet<string> = new Set(["connection", "upgrade", "sec-websocket-key"]);

function accept(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

function headOf(text: string): { readonly start: string; readonly fields: ReadonlyMap<string, string> } {
  const [start = "", ...lines] = text.split("\r\n");
  const pairs = lines.map((line) => line.split(/: (.*)/s));
  return { start, fields: new Map(pairs.map(([name = "", value = ""]) => [name.toLowerCase(), value])) };
}

/** A stream to whoever writes a head of HTTP/1.1 first, which comes in one piece. */
class HeadFirst extends Duplex {
  readonly #begin: (head: string) => Http2Stream;
  #stream: Http2Stream | null = null;

  constructor(begin: (head: string) => Http2Stream) {
    super();
    this.#begin = begin;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#stream !== null) {
      this.#stream.write(chunk, done);
      return;
    }
    const end = chunk.indexOf("\r\n\r\n");
    const stream = this.#begin(chunk.subarray(0, end).toString("latin1"));
    this.#stream = stream;
    stream.on("data", (data: Buffer) => {
      if (!this.push(data)) stream.pause();
    });
    stream.on("end", () => this.push(null));
    stream.on("error", () => this.destroy());
    stream.on("close", () => this.destroy());
    stream.write(chunk.subarray(end + 4), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#stream?.end();
    done();
  }

  override _read(): void {
    this.#stream?.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stream?.close(constants.NGHTTP2_CANCEL);
    done(error);
  }
}
