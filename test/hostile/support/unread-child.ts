import http2, { type ServerHttp2Session } from "node:http2";
import { syncBuiltinESMExports } from "node:module";
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
import { type Attacker, startTarget } from "./h2-attacker.ts";

/**
 * An edge, in a process of its own, and guests that leave it in the middle of something: whatever Node keeps of them is to be
 * collected, and collecting it is to end nothing. It says what the last guest was served, and how many sessions are left.
 */

const ROUNDS = 12;
const LONG = Buffer.alloc(12_000_000, "y");
/** As far as a window goes (RFC 9113 §6.9.1): nothing but the socket holds the answer back. */
const WINDOW = 0x7fffffff;
const PAST_DEFAULT = WINDOW - 65_535;
const ACK = frame(TYPE.settings, 1, 0);

const sessions: WeakRef<ServerHttp2Session>[] = [];
const handshake = http2.performServerHandshake;
http2.performServerHandshake = (...args: Parameters<typeof handshake>) => {
  const session = handshake(...args);
  sessions.push(new WeakRef(session));
  return session;
};
syncBuiltinESMExports();

const target = await startTarget({}, (socket, received) => {
  if (!received.endsWith("\r\n\r\n")) return;
  const isShort = received.includes("GET /marker");
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${isShort ? 2 : LONG.length}\r\n\r\n`);
  socket.write(isShort ? "ok" : LONG);
});

const preface = Buffer.concat([Buffer.from(PREFACE), settings(4, WINDOW), windowUpdate(0, PAST_DEFAULT)]);

/** Reads nothing of a long answer, and begins trailers that never end. */
async function unfinished(guest: Attacker): Promise<void> {
  guest.send(ACK, headers(1, target.request("/", "POST"), END_HEADERS));
  guest.socket.pause();
  await sleep(60);
  guest.send(frame(TYPE.headers, END_STREAM, 1, block([["x-a", "a".repeat(100)]])));
  await sleep(30);
}

/** Stops reading in the middle of a download. */
async function download(guest: Attacker): Promise<void> {
  guest.send(ACK, headers(1, target.request("/")));
  guest.socket.pause();
  await sleep(60);
}

/** The same with PING after PING, of which it reads no answer: it is cut. */
async function flood(guest: Attacker): Promise<void> {
  guest.send(ACK, headers(1, target.request("/", "POST"), END_HEADERS));
  guest.socket.pause();
  await sleep(60);
  guest.send(...Array.from({ length: 3000 }, () => frame(TYPE.ping, 0, 0, Buffer.alloc(8))));
  await sleep(60);
}

/** Never acknowledges SETTINGS. */
async function unsettled(guest: Attacker): Promise<void> {
  guest.send(headers(1, target.request("/marker")));
  await guest.answered(1);
}

const stories: Record<string, (guest: Attacker) => Promise<void>> = { unfinished, download, flood, unsettled };
for (let i = 0; i < ROUNDS; i++) {
  const guest = await target.attack({ preface });
  await stories[process.argv[2] ?? ""]?.(guest);
  guest.socket.destroy();
  await sleep(60);
  globalThis.gc?.();
}
await target.heard();
// What ends with the last one is gone some turns later; collectors take more than one look.
let left = sessions.length;
for (let i = 0; i < 400 && left > 1; i++) {
  await sleep(50);
  globalThis.gc?.();
  left = sessions.filter((session) => session.deref() !== undefined).length;
}
process.stdout.write(
  `served; of ${sessions.length > ROUNDS ? "all" : "too few"} sessions ${left <= 1 ? "none" : left} left`,
);
process.exit();
