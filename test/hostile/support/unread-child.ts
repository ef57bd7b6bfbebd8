import { setTimeout as sleep } from "node:timers/promises";
import {
  block,
  END_HEADERS,
  END_STREAM,
  frame,
  headers,
  PREFACE,
  settings,
  TYPE,
  windowUpdate,
} from "../../guest/support/h2-frames.ts";
import { startTarget } from "./h2-attacker.ts";

/**
 * An edge, in a process of its own, and guests that read nothing of a long answer, begin trailers that never end, and go away:
 * whatever Node keeps of them is collected at some time. It says what the last guest was served.
 */

const ROUNDS = 10;
const LONG = Buffer.alloc(12_000_000, "y");
/** As far as a window goes (RFC 9113 §6.9.1): nothing but the socket holds the answer back. */
const WINDOW = 0x7fffffff;
const PAST_DEFAULT = WINDOW - 65_535;

const target = await startTarget({}, (socket, received) => {
  if (!received.endsWith("\r\n\r\n")) return;
  const isShort = received.includes("GET /marker");
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${isShort ? 2 : LONG.length}\r\n\r\n`);
  socket.write(isShort ? "ok" : LONG);
});
for (let i = 0; i < ROUNDS; i++) {
  const preface = Buffer.concat([Buffer.from(PREFACE), settings(4, WINDOW), windowUpdate(0, PAST_DEFAULT)]);
  const guest = await target.attack({ preface });
  guest.send(headers(1, target.request("/", "POST"), END_HEADERS));
  guest.socket.pause();
  await sleep(60);
  guest.send(frame(TYPE.headers, END_STREAM, 1, block([["x-a", "a".repeat(100)]])));
  await sleep(30);
  guest.socket.destroy();
  await sleep(60);
  globalThis.gc?.();
}
await target.heard();
process.stdout.write("served");
process.exit();
