import { setTimeout as sleep } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { acceptOf, FRAME_TO_CLIENT, FRAME_TO_SERVER } from "../wire/websocket.ts";
import { askForBytes, openTunnel } from "./connect.ts";
import type { Route } from "./route.ts";
import { type Tally, tallyWindow } from "./window.ts";

/** Small messages over WebSockets that echo them: on each so many under way at once. Counts messages that came back. */
export interface MessagesJob {
  readonly kind: "messages";
  readonly route: Route;
  readonly upstreamPid: number;
  readonly host: string;
  readonly connections: number;
  readonly inFlight: number;
  readonly warmMs: number;
  readonly windowMs: number;
}

/** One message at a time on one connection. */
export interface PingPongJob {
  readonly kind: "ping-pong";
  readonly route: Route;
  readonly host: string;
  readonly warmMs: number;
  readonly windowMs: number;
}

export async function messages(job: MessagesJob): Promise<Tally> {
  const sockets: EchoSocket[] = [];
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined); // it is raced; a failure while closing concerns nobody
  let count = 0;
  try {
    while (sockets.length < job.connections) {
      const socket = await EchoSocket.open(job.route, job.host);
      sockets.push(socket);
      socket.listen(() => {
        count++;
        socket.send();
      }, failure.reject);
    }
    for (const socket of sockets) for (let i = 0; i < job.inFlight; i++) socket.send();
    return await Promise.race([tallyWindow(job.route, job.upstreamPid, job, () => count), failure.promise]);
  } finally {
    sockets.forEach((socket) => socket.close());
  }
}

/** @returns milliseconds from write to echo, a message each */
export async function pingPong({ route, host, warmMs, windowMs }: PingPongJob): Promise<number[]> {
  const socket = await EchoSocket.open(route, host);
  const takenMs: number[] = [];
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  let isCounted = false;
  let sentMs = performance.now();
  socket.listen(() => {
    const nowMs = performance.now();
    if (isCounted) takenMs.push(nowMs - sentMs);
    sentMs = nowMs;
    socket.send();
  }, failure.reject);
  try {
    socket.send();
    await Promise.race([sleep(warmMs), failure.promise]);
    isCounted = true;
    await Promise.race([sleep(windowMs), failure.promise]);
    return takenMs;
  } finally {
    socket.close();
  }
}

const KEY = "cG9zdGVybi1iZW5jaC1rZQ==";

/** A WebSocket in a tunnel that says one message over and over, each in a write of its own, and knows what comes back. */
class EchoSocket {
  readonly #socket: TLSSocket;
  /** Bytes of the next echo that have come. */
  #at = 0;
  #isClosed = false;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
  }

  /** @throws Error when the upgrade is not taken */
  static async open(route: Route, host: string): Promise<EchoSocket> {
    const socket = await openTunnel(route, host);
    const request =
      `GET /socket HTTP/1.1\r\nHost: ${host}:${route.upstream.tlsPort}\r\nAuthorization: ${route.authorization}\r\n` +
      `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`;
    const { status, head } = await askForBytes(socket, request, 101);
    const accept = /\r\nsec-websocket-accept: *(\S+) *\r\n/i.exec(head)?.[1];
    if (status === 101 && accept === acceptOf(KEY)) return new EchoSocket(socket);
    socket.destroy();
    throw new Error(`upgrade to a WebSocket: ${head.slice(0, head.indexOf("\r\n"))}`);
  }

  listen(onMessage: () => void, onFailure: (error: Error) => void): void {
    const fail = (error: Error): void => {
      if (this.#isClosed) return;
      this.close();
      onFailure(error);
    };
    this.#socket.on("data", (chunk: Buffer) => {
      for (let start = 0; start < chunk.length && !this.#isClosed;) {
        const end = Math.min(chunk.length, start + FRAME_TO_CLIENT.length - this.#at);
        const wanted = this.#at + (end - start);
        if (chunk.compare(FRAME_TO_CLIENT, this.#at, wanted, start, end) !== 0) fail(new Error("not what was sent"));
        start = end;
        this.#at = wanted % FRAME_TO_CLIENT.length;
        if (this.#at === 0) onMessage();
      }
    });
    this.#socket.on("error", fail);
    this.#socket.on("close", () => fail(new Error("the WebSocket was closed")));
  }

  send(): void {
    this.#socket.write(FRAME_TO_SERVER);
  }

  close(): void {
    this.#isClosed = true;
    this.#socket.destroy();
  }
}
