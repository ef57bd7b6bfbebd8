import { setTimeout as sleep } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { EVENT_BYTES, monotonicMs, sentMsOf } from "../wire/events.ts";
import { MessageReader } from "../wire/message-reader.ts";
import { requestBytes } from "./caller.ts";
import { openTunnel } from "./connect.ts";
import type { Route } from "./route.ts";

/** Streams of server-sent events that stay open, each on a connection of its own. */
export interface EventsJob {
  readonly kind: "events";
  readonly route: Route;
  readonly host: string;
  readonly streams: number;
  readonly warmMs: number;
  readonly windowMs: number;
}

/** @returns milliseconds from when the upstream sent to when the guest had it, an event each */
export async function events(job: EventsJob): Promise<number[]> {
  const sockets: TLSSocket[] = [];
  const delaysMs: number[] = [];
  let isCounted = false;
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined); // it is raced; a failure while closing concerns nobody
  const onEvent = (delayMs: number): void => {
    if (isCounted) delaysMs.push(delayMs);
  };
  try {
    while (sockets.length < job.streams) {
      const socket = await Promise.race([openTunnel(job.route, job.host), failure.promise]);
      sockets.push(socket);
      listen(socket, onEvent, failure.reject);
      socket.write(requestBytes(job.route, job.host, { path: "/events" }));
    }
    await Promise.race([sleep(job.warmMs), failure.promise]);
    isCounted = true;
    await Promise.race([sleep(job.windowMs), failure.promise]);
    isCounted = false;
    return delaysMs;
  } finally {
    sockets.forEach((socket) => socket.destroy());
  }
}

function listen(socket: TLSSocket, onEvent: (delayMs: number) => void, onFailure: (error: Error) => void): void {
  let text = "";
  const reader = new MessageReader({
    head(head) {
      if (!head.startsWith("HTTP/1.1 200 ")) throw new Error(`answer: ${head.slice(0, head.indexOf("\r\n"))}`);
    },
    body(chunk, start, end) {
      text += chunk.toString("latin1", start, end);
      for (; text.length >= EVENT_BYTES; text = text.slice(EVENT_BYTES))
        onEvent(monotonicMs() - sentMsOf(text.slice(0, EVENT_BYTES)));
    },
    end() {
      throw new Error("the events came to an end");
    },
  });
  socket.on("data", (chunk: Buffer) => {
    try {
      reader.push(chunk);
    } catch (error) {
      onFailure(error as Error);
    }
  });
  socket.on("error", onFailure);
  socket.on("close", () => onFailure(new Error("the connection was closed in the middle of the events")));
}
