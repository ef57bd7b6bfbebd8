import type { Socket } from "node:net";
import { EVENTS_PER_SECOND, eventText, EVENT_BYTES, monotonicMs } from "../wire/events.ts";

/**
 * Server-sent events to all streams that are open, one stream after the other, evenly over the time: an event that waits for
 * ninety-nine others at the sender would measure the sender.
 */

const HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n";
const CHUNK_START = `${EVENT_BYTES.toString(16)}\r\n`;

const open: Socket[] = [];
let ticker: NodeJS.Timeout | null = null;

export function startEvents(socket: Socket): void {
  socket.write(HEAD);
  open.push(socket);
  socket.once("close", () => open.splice(open.indexOf(socket), 1));
  if (ticker === null) tick();
}

const TICK_MS = 1;

function tick(): void {
  let lastMs = monotonicMs();
  let owed = 0;
  let next = 0;
  ticker = setInterval(() => {
    const nowMs = monotonicMs();
    // What a late timer owes goes out at once, but no more than a tick's worth of all streams.
    owed = Math.min(owed + ((nowMs - lastMs) / 1000) * EVENTS_PER_SECOND * open.length, open.length);
    lastMs = nowMs;
    for (; owed >= 1; owed--) {
      next = (next + 1) % open.length;
      open[next]?.write(`${CHUNK_START}${eventText(monotonicMs())}\r\n`, "latin1");
    }
    if (open.length > 0 || ticker === null) return;
    clearInterval(ticker);
    ticker = null;
  }, TICK_MS);
}
