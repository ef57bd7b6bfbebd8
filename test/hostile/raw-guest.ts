import { connect, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";

/** A guest that writes bytes: nothing here knows HTTP. Strings are Latin-1. */
export interface RawGuest {
  /** Everything that has come, Latin-1. */
  readonly text: string;
  send(bytes: string | Buffer): void;
  /** Resolves when `pattern` is in the text, or the connection ended. @throws Error after `timeoutMs` */
  until(pattern: RegExp, timeoutMs?: number): Promise<string>;
  /** The same for a condition of the test's own. */
  when(isDone: () => boolean, timeoutMs?: number): Promise<string>;
  /** Resolves with the text when the edge has closed. */
  ended(timeoutMs?: number): Promise<string>;
  readonly closed: boolean;
  readonly socket: Socket;
  destroy(): void;
}

const PATIENCE_MS = 30_000;

/** @param localAddress which guest it is, to an edge that tells them apart by address */
export function openGuest(port: number, localAddress = "127.0.0.1"): Promise<RawGuest> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", localAddress }, () => resolve(guestOn(socket)));
    socket.once("error", reject);
  });
}

/** CONNECT, then TLS as a guest that does not care for certificates. @param servername "" sends no SNI */
export async function openTunnel(port: number, authority: string, servername: string): Promise<RawGuest> {
  const plain = await openGuest(port);
  plain.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  const answer = await plain.until(/\r\n\r\n/);
  if (!answer.startsWith("HTTP/1.1 200")) throw new Error(`CONNECT was refused: ${answer}`);
  plain.socket.removeAllListeners("data");
  return new Promise((resolve, reject) => {
    // rejectUnauthorized: a hostile guest trusts anybody; what is tested is what the edge does.
    const options = { socket: plain.socket, servername, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] };
    const secured: TLSSocket = connectTls(options, () => resolve(guestOn(secured)));
    secured.once("error", reject);
  });
}

/** @param socket connected */
export function guestOn(socket: Socket): RawGuest {
  let text = "";
  let closed = false;
  const waiting = new Set<() => void>();
  const wake = (): void => waiting.forEach((look) => look());
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    wake();
  });
  // A reset is one of the answers that a hostile guest gets.
  socket.on("error", () => undefined);
  const over = (): void => {
    closed = true;
    wake();
  };
  socket.on("end", over);
  socket.on("close", over);
  const when = (done: () => boolean, what: string, timeoutMs: number): Promise<string> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(look);
        reject(new Error(`${what} did not happen; so far: ${JSON.stringify(text.slice(0, 500))}`));
      }, timeoutMs);
      const look = (): void => {
        if (!done()) return;
        clearTimeout(timer);
        waiting.delete(look);
        resolve(text);
      };
      waiting.add(look);
      look();
    });
  return {
    get text() {
      return text;
    },
    get closed() {
      return closed;
    },
    socket,
    send: (bytes) => void socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes),
    until: (pattern, timeoutMs = PATIENCE_MS) => when(() => closed || pattern.test(text), String(pattern), timeoutMs),
    when: (isDone, timeoutMs = PATIENCE_MS) => when(() => closed || isDone(), "what was waited for", timeoutMs),
    ended: (timeoutMs = PATIENCE_MS) => when(() => closed, "the end of the connection", timeoutMs),
    destroy: () => socket.destroy(),
  };
}

/** `x-deny-reason` of the last answer in `text`, or `null`. */
export function denialIn(text: string): string | null {
  const all = [...text.matchAll(/\r\nx-deny-reason: ([a-z_]+)\r\n/g)];
  return all.at(-1)?.[1] ?? null;
}
