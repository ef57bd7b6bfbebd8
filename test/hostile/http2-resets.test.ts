import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { END_HEADERS, END_STREAM, frame, headers, reset, TYPE, windowUpdate } from "../guest/support/h2-frames.ts";
import { eventually } from "../line/support/joined.ts";
import { type Attacker, type Field, startTarget, type Target } from "./support/h2-attacker.ts";

/** A guest that resets its streams wherever they stand: each exchange ends once, its record too, and nothing else is touched. */

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CODES = [...Array.from({ length: 14 }, (_, code) => code), 0x7fffffff, 0xffffffff];
const CANCEL = 8;

let target: Target;

beforeAll(async () => {
  target = await startTarget({ timeouts: { bodyIdleMs: 3000 }, maxConnections: 200 }, (socket, received) => {
    const last = received.slice(received.lastIndexOf(" HTTP/1.1\r\n"));
    const path = /(\/\S*) HTTP\/1\.1\r\n(?!.* HTTP\/1\.1\r\n)/s.exec(received)?.[1] ?? "";
    if (path.startsWith("/marker")) {
      if (last.endsWith("\r\n\r\n")) socket.write(OK);
      return;
    }
    if (path === "/half") socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    if (path === "/large") socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n${"x".repeat(900_000)}`);
    if (path === "/continue") socket.write("HTTP/1.1 100 Continue\r\n\r\n");
    if (path === "/early") socket.write(OK);
    if (path === "/socket") socket.write(accept(received));
  });
});

afterAll(async () => {
  await target.close();
  expect(target.joined.faults).toEqual([]);
  await eventually(() => target.joined.sweep.size === 0, "the end of every deadline");
});

function accept(received: string): string {
  const key = /Sec-WebSocket-Key: (\S+)/.exec(received)?.[1] ?? "";
  const value = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  return `HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${value}\r\n\r\nraw`;
}

interface Stage {
  readonly name: string;
  readonly open: (stream: number) => Uint8Array[];
  /** The stream has come so far. @param heard requests that came upstream since the first stream */
  readonly isThere: (guest: Attacker, stream: number, heard: number) => boolean;
}

const requestsHeard = (): number => target.upstream.received.join("").split("Authorization: ").length - 1;
const asked: Stage["isThere"] = (_guest, stream, heard) => heard > (stream - 1) / 2;
const answered = (guest: Attacker, stream: number): boolean => guest.reader.of(TYPE.headers, stream).length > 0;

const post = (stream: number, path: string, ...more: Field[]): Buffer =>
  headers(stream, [...target.request(path, "POST"), ...more], END_HEADERS);

const STAGES: readonly Stage[] = [
  {
    name: "in the segment that began them",
    open: (stream) => [headers(stream, target.request())],
    isThere: () => true,
  },
  {
    name: "while the upstream thinks",
    open: (stream) => [headers(stream, target.request())],
    isThere: asked,
  },
  {
    name: "in the middle of a body",
    open: (stream) => [post(stream, "/"), frame(TYPE.data, 0, stream, Buffer.from("x"))],
    isThere: asked,
  },
  {
    name: "while they wait for 100",
    open: (stream) => [post(stream, "/", ["expect", "100-continue"])],
    isThere: asked,
  },
  { name: "after 100", open: (stream) => [post(stream, "/continue", ["expect", "100-continue"])], isThere: answered },
  {
    name: "in the middle of an answer",
    open: (stream) => [headers(stream, target.request("/half"))],
    isThere: (guest, stream) => guest.body(stream) === "half",
  },
  {
    name: "while an answer waits for a window",
    open: (stream) => [headers(stream, target.request("/large"))],
    isThere: answered,
  },
  {
    name: "answered before the request was over",
    open: (stream) => [post(stream, "/early")],
    isThere: (guest, stream) => guest.body(stream) === "ok",
  },
  {
    name: "refused before the request was over",
    open: (stream) => [post(stream, "/", ["expect", "something"])],
    isThere: answered,
  },
  {
    name: "as WebSockets",
    open: (stream) => [
      headers(
        stream,
        [
          ...target.request("/socket", "CONNECT").slice(0, 1),
          [":protocol", "websocket"],
          ...target.request("/socket").slice(1),
        ],
        END_HEADERS,
      ),
    ],
    isThere: (guest, stream) => guest.body(stream) === "raw",
  },
];

describe.each(STAGES)("streams that are reset $name", ({ open, isThere }) => {
  test("by any code: one record each, and others go on", async () => {
    const recordsBefore = target.joined.records.length;
    const openedBefore = target.joined.opened();
    const heardBefore = requestsHeard();
    const guest = await target.attack();
    for (const [i, code] of CODES.entries()) {
      const stream = 1 + 2 * i;
      guest.send(...open(stream));
      await eventually(() => isThere(guest, stream, requestsHeard() - heardBefore), "the stage");
      guest.send(reset(stream, code));
    }
    guest.send(windowUpdate(0, 0x7000_0000), headers(1 + 2 * CODES.length, target.request("/marker")));
    await guest.answered(1 + 2 * CODES.length);
    expect(guest.body(1 + 2 * CODES.length)).toBe("ok");
    // CONNECT, the resets, and the last one.
    const expected = CODES.length + 2;
    await eventually(() => target.joined.records.length === recordsBefore + expected, "the records");
    expect(target.joined.opened() - openedBefore).toBe(expected);
    expect(guest.reader.codes().has(0)).toBe(false);
    guest.socket.destroy();
    await target.heard();
  });
});

test("100 streams that one segment begins and resets lead to few dials", async () => {
  const before = target.upstream.sockets.length;
  const guest = await target.attack();
  const streams = Array.from({ length: 100 }, (_, i) => 1 + 2 * i);
  guest.send(...streams.flatMap((stream) => [headers(stream, target.request()), reset(stream, CANCEL)]));
  await target.heard();
  await eventually(() => target.joined.records.filter(({ path }) => path === "/").length >= 100, "the records");
  expect(target.upstream.sockets.length - before).toBeLessThan(20);
  guest.socket.destroy();
});

describe("the end of the connection", () => {
  test.each<[string, (guest: Attacker) => void]>([
    ["a TCP reset", (guest) => void guest.socket.destroy()],
    ["close_notify", (guest) => void guest.socket.end()],
    ["GOAWAY with an error", (guest) => guest.send(frame(TYPE.goaway, 0, 0, Buffer.from([0, 0, 0, 0, 0, 0, 0, 2])))],
    ["a violation", (guest) => guest.send(frame(TYPE.ping, 0, 0, Buffer.alloc(1)))],
    [
      "half a frame",
      (guest) => void guest.socket.end(frame(TYPE.data, END_STREAM, 1, Buffer.from("hello")).subarray(0, 11)),
    ],
  ])("%s ends every stream, wherever it stands", async (_name, end) => {
    const before = target.joined.records.length;
    const guest = await target.attack();
    STAGES.forEach(({ open }, i) => guest.send(...open(1 + 2 * i)));
    await eventually(
      () => STAGES.every(({ name }, i) => !/answer|WebSocket/.test(name) || answered(guest, 1 + 2 * i)),
      "the stages",
    );
    end(guest);
    const isOver = (): boolean => {
      const kinds = target.joined.records.slice(before).map(({ kind }) => kind);
      return kinds.filter((kind) => kind === "http" || kind === "upgrade").length === STAGES.length;
    };
    await eventually(isOver, "a record for every stream");
    await target.heard();
  });
});
