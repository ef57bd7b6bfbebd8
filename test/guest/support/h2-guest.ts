import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from "node:http2";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { openGuest } from "../../hostile/raw-guest.ts";

/** An answer as it came over HTTP/2. */
export interface StreamAnswer {
  readonly status: number;
  /** Names and values by turns, in order. */
  readonly raw: readonly string[];
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Buffer;
  readonly trailers: ReadonlyMap<string, string>;
  readonly interims: readonly number[];
  /** Code of the reset that ended it; 0 when nothing was reset. */
  readonly resetCode: number;
  /** END_STREAM came. */
  readonly whole: boolean;
}

/**
 * CONNECT, then TLS that agrees on `h2`.
 * @param alpn what is offered
 * @param servername "" sends no SNI
 * @param localAddress which guest it is, to an edge that tells them apart by address
 */
export async function openSecure(
  port: number,
  authority: string,
  alpn: readonly string[] = ["h2"],
  servername = authority.slice(0, authority.lastIndexOf(":")),
  localAddress?: string,
): Promise<TLSSocket> {
  const plain = await openGuest(port, localAddress);
  plain.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  const answer = await plain.until(/\r\n\r\n/);
  if (!answer.startsWith("HTTP/1.1 200")) throw new Error(`CONNECT was refused: ${answer}`);
  plain.socket.removeAllListeners("data");
  return await new Promise((resolve, reject) => {
    // rejectUnauthorized: what is tested is what the edge does, not whether this guest trusts it.
    const options = { socket: plain.socket, servername, rejectUnauthorized: false, ALPNProtocols: [...alpn] };
    const secured: TLSSocket = connectTls(options, () => resolve(secured));
    secured.once("error", reject);
  });
}

/** An HTTP/2 session through a tunnel to `authority`, of which the edge has said what it takes. */
export async function openHttp2(port: number, authority: string, localAddress?: string): Promise<ClientHttp2Session> {
  const session = await beginHttp2(port, authority, localAddress);
  await new Promise<void>((resolve) => session.once("remoteSettings", () => resolve()));
  return session;
}

/** The same, before the edge has said anything. */
export async function beginHttp2(port: number, authority: string, localAddress?: string): Promise<ClientHttp2Session> {
  const secured = await openSecure(port, authority, undefined, undefined, localAddress);
  const session = connect(`https://${authority}`, { createConnection: () => secured });
  // What ends it is one of the answers that a hostile guest gets.
  session.on("error", () => undefined);
  return session;
}

/** Gathers what comes on a stream until it is closed. */
export function answerOf(stream: ClientHttp2Stream): Promise<StreamAnswer> {
  let raw: readonly string[] = [];
  let trailers: ReadonlyMap<string, string> = new Map();
  const interims: number[] = [];
  const chunks: Buffer[] = [];
  let whole = false;
  stream.on("headers", (headers) => void interims.push(Number(headers[":status"])));
  stream.on("response", (_headers, _flags, list: unknown) => {
    raw = list as string[];
  });
  stream.on("trailers", (_headers, _flags, list: unknown) => {
    trailers = mapOf(list as string[]);
  });
  stream.on("data", (chunk: Buffer) => void chunks.push(chunk));
  stream.on("end", () => {
    whole = !stream.aborted;
  });
  stream.on("error", () => undefined);
  return new Promise((resolve) => {
    stream.on("close", () => {
      const fields = mapOf(raw);
      const status = Number(fields.get(":status") ?? 0);
      const body = Buffer.concat(chunks);
      resolve({ status, raw, fields, body, trailers, interims, resetCode: stream.rstCode, whole });
    });
  });
}

/** @param body `undefined` ends the request with its head */
export function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string | Buffer,
): Promise<StreamAnswer> {
  const stream = session.request(headers, { endStream: body === undefined });
  const answer = answerOf(stream);
  if (body !== undefined) stream.end(body);
  return answer;
}

function mapOf(raw: readonly string[]): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  for (let i = 0; i < raw.length; i += 2) map.set(raw[i] as string, raw[i + 1] as string);
  return map;
}
