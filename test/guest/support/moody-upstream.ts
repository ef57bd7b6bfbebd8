import { createServer, type AddressInfo, type Socket } from "node:net";
import { once } from "node:events";

/**
 * An upstream with every mood that one has: the path of a request, `/MOOD/ID`, says how it is answered. Answers carry `X-Id` and
 * a body that begins with the id, so that a guest can tell whose they are. One mood is left out: an answer that nobody asked for
 * and that comes once the next request is on its way can be told from a real one by nobody (`test/upstream/pool.test.ts` has the
 * one that comes sooner).
 */
export const MOODS = [
  "plain",
  "chunked",
  "until-close",
  "empty",
  "large",
  "slow",
  "early",
  "early-and-close",
  "early-and-reset",
  "interim",
  "interim-storm",
  "says-close",
  "drops-later",
  "drops",
  "resets",
  "resets-in-head",
  "breaks-off",
  "breaks-off-chunked",
  "bad-chunk",
  "babbles",
  "two-answers",
  "unasked-101",
  "unauthorized",
  "hangs",
  "hangs-in-body",
  "switches",
] as const;
export type Mood = (typeof MOODS)[number];

export interface MoodyUpstream {
  readonly port: number;
  /** Heads of all requests, Latin-1, in order of arrival. */
  readonly heads: readonly string[];
  /** Bytes that could not be read as a request. */
  readonly strays: readonly string[];
  readonly open: () => number;
  close(): Promise<void>;
}

export async function startMoodyUpstream(): Promise<MoodyUpstream> {
  const heads: string[] = [];
  const strays: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    socket.on("end", () => socket.end());
    const conversation = new Conversation(socket, heads, strays);
    socket.on("data", (chunk: Buffer) => conversation.take(chunk));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    heads,
    strays,
    open: () => sockets.size,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Reads requests off one connection, one after the other, and answers by their mood. */
class Conversation {
  readonly #socket: Socket;
  readonly #heads: string[];
  readonly #strays: string[];
  #text = "";
  #isRaw = false;
  #answered = 0;

  constructor(socket: Socket, heads: string[], strays: string[]) {
    this.#socket = socket;
    this.#heads = heads;
    this.#strays = strays;
  }

  take(chunk: Buffer): void {
    if (this.#isRaw) this.#socket.write(chunk);
    else {
      this.#text += chunk.toString("latin1");
      this.#read();
    }
  }

  #read(): void {
    for (;;) {
      const end = this.#text.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = this.#text.slice(0, end + 4);
      const [, mood, id] = /^[A-Z]+ \/([a-z0-9-]+)\/([a-z0-9]+) HTTP\/1\.1\r\n/.exec(head) ?? [];
      if (mood === undefined || id === undefined) {
        this.#strays.push(head);
        this.#socket.destroy();
        return;
      }
      const length = bodyLength(head, this.#text.slice(end + 4));
      const isEarly = mood.startsWith("early") || mood === "hangs";
      if (this.#answered === 0) {
        this.#heads.push(head);
        if (isEarly || length !== null) {
          this.#answered = 1;
          answer(this.#socket, mood as Mood, id, head.startsWith("HEAD "));
          if (mood === "switches" && /\r\nUpgrade: websocket\r\n/i.test(head)) {
            this.#isRaw = true;
            return;
          }
        }
      }
      if (length === null) return;
      this.#answered = 0;
      this.#text = this.#text.slice(end + 4 + length);
    }
  }
}

/** @returns length of the body on the wire, or `null` while it is not whole */
function bodyLength(head: string, rest: string): number | null {
  if (/\r\ntransfer-encoding: chunked\r\n/i.test(head)) {
    const end = /(^|\r\n)0\r\n\r\n/.exec(rest);
    return end === null ? null : end.index + end[0].length;
  }
  const length = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1] ?? 0);
  return rest.length >= length ? length : null;
}

function answer(socket: Socket, mood: Mood, id: string, isHead: boolean): void {
  const head = (status: string, more: string): string => `HTTP/1.1 ${status}\r\nX-Id: ${id}\r\n${more}\r\n`;
  const body = `${id};`;
  const plain = head("200 OK", `Content-Length: ${body.length}\r\n`) + (isHead ? "" : body);
  const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
  const chunkedHead = head("200 OK", "Transfer-Encoding: chunked\r\n");
  const later = (ms: number, step: () => void): void => void setTimeout(() => socket.destroyed || step(), ms);
  switch (mood) {
    case "plain":
    case "early":
      return void socket.write(plain);
    case "chunked":
      return void socket.write(chunkedHead + (isHead ? "" : `${chunk(body)}${chunk("more")}0\r\nX-Sum: 1\r\n\r\n`));
    case "until-close":
      return void socket.end(head("200 OK", "") + (isHead ? "" : body));
    case "empty":
      return void socket.write(head("204 No Content", ""));
    case "large": {
      const large = body + "x".repeat(300_000);
      return void socket.write(head("200 OK", `Content-Length: ${large.length}\r\n`) + (isHead ? "" : large));
    }
    case "slow":
      socket.write(plain.slice(0, 10));
      later(4, () => socket.write(plain.slice(10, -1)));
      return later(8, () => socket.write(plain.slice(-1)));
    case "early-and-close":
      return void socket.end(plain);
    case "early-and-reset":
      socket.write(plain);
      return later(2, () => reset(socket));
    case "interim":
      return void socket.write(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${plain}`);
    case "interim-storm":
      return void socket.write(`${"HTTP/1.1 102 Processing\r\n\r\n".repeat(40)}${plain}`);
    case "says-close":
      return void socket.write(plain.replace("\r\n", "\r\nConnection: close\r\n"));
    case "drops-later":
      socket.write(plain);
      return later(3, () => socket.end());
    case "drops":
      return void socket.end();
    case "resets":
      return reset(socket);
    case "resets-in-head":
      socket.write(plain.slice(0, 25));
      return later(2, () => reset(socket));
    case "breaks-off":
      return void socket.end(head("200 OK", "Content-Length: 1000\r\n") + body);
    case "breaks-off-chunked":
      return void socket.end(chunkedHead + chunk(body));
    case "bad-chunk":
      socket.write(chunkedHead + chunk(body));
      return later(2, () => socket.write("zz\r\n"));
    case "babbles":
      return void socket.write("220 mail.test ESMTP\r\n\r\n");
    case "two-answers":
      return void socket.write(plain + plain.replaceAll(id, "stolen"));
    case "unasked-101":
      return void socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    case "unauthorized":
      return void socket.write(plain.replace("200 OK", "401 Unauthorized"));
    case "hangs":
      return;
    case "hangs-in-body":
      return void socket.write(head("200 OK", "Content-Length: 1000\r\n") + body);
    case "switches":
      return void socket.write(head("101 Switching Protocols", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  }
}

/** A socket that is shutting down refuses to be reset, and would never close. */
export function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
