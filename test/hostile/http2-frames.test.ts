import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ACK,
  block,
  END_HEADERS,
  END_STREAM,
  frame,
  headers,
  reset,
  settings,
  TYPE,
  windowUpdate,
} from "../guest/support/h2-frames.ts";
import { eventually } from "../line/support/joined.ts";
import { startTarget, type Target } from "./support/h2-attacker.ts";

/** Frames that break RFC 9113 below the level of fields: the connection ends with a code and a record, others are served. */

const PROTOCOL_ERROR = 1;
const FLOW_CONTROL_ERROR = 3;
const FRAME_SIZE_ERROR = 6;
const COMPRESSION_ERROR = 9;

let target: Target;

beforeAll(async () => {
  target = await startTarget({ timeouts: { guestIdleMs: 1000, requestHeadMs: 1000 } });
});

afterAll(async () => {
  await target.close();
  expect(target.joined.faults).toEqual([]);
  await eventually(() => target.joined.sweep.size === 0, "the end of every deadline");
});

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const post = (): Buffer => headers(1, target.request("/", "POST"), END_HEADERS);

describe("ends the connection", () => {
  test.each<[string, number, () => Uint8Array[]]>([
    ["DATA before HEADERS", PROTOCOL_ERROR, () => [frame(TYPE.data, END_STREAM, 1, Buffer.from("x"))]],
    ["DATA on stream 0", PROTOCOL_ERROR, () => [frame(TYPE.data, END_STREAM, 0, Buffer.from("x"))]],
    ["HEADERS on stream 0", PROTOCOL_ERROR, () => [headers(0, target.request())]],
    ["HEADERS on an even stream", PROTOCOL_ERROR, () => [headers(2, target.request())]],
    [
      "PUSH_PROMISE from a guest",
      PROTOCOL_ERROR,
      () => [frame(TYPE.push, END_HEADERS, 1, Buffer.concat([u32(2), block(target.request())]))],
    ],
    ["CONTINUATION alone", PROTOCOL_ERROR, () => [frame(TYPE.continuation, END_HEADERS, 1, block(target.request()))]],
    [
      "PING inside a header block",
      PROTOCOL_ERROR,
      () => [headers(1, target.request(), END_STREAM), frame(TYPE.ping, 0, 0, Buffer.alloc(8))],
    ],
    [
      "another stream inside a header block",
      PROTOCOL_ERROR,
      () => [headers(1, target.request(), END_STREAM), headers(3, target.request())],
    ],
    [
      "a stream that depends on itself",
      PROTOCOL_ERROR,
      () => [frame(TYPE.headers, 0x25, 1, Buffer.concat([u32(1), Buffer.from([1]), block(target.request())]))],
    ],
    [
      "padding longer than the head",
      PROTOCOL_ERROR,
      () => [frame(TYPE.headers, 0x0d, 1, Buffer.concat([Buffer.from([255]), block([["a", "b"]])]))],
    ],
    ["padding longer than the data", PROTOCOL_ERROR, () => [post(), frame(TYPE.data, 8, 1, Buffer.from([9, 1]))]],
    [
      "a frame beyond the announced size",
      FRAME_SIZE_ERROR,
      () => [post(), frame(TYPE.data, 0, 1, Buffer.alloc(16_385))],
    ],
    [
      "a header block beyond the announced size",
      FRAME_SIZE_ERROR,
      () => [headers(1, [...target.request(), ["x", "a".repeat(20_000)]])],
    ],
    ["PING of seven bytes", FRAME_SIZE_ERROR, () => [frame(TYPE.ping, 0, 0, Buffer.alloc(7))]],
    ["PING on a stream", PROTOCOL_ERROR, () => [frame(TYPE.ping, 0, 1, Buffer.alloc(8))]],
    ["PRIORITY of four bytes", FRAME_SIZE_ERROR, () => [frame(TYPE.priority, 0, 1, Buffer.alloc(4))]],
    ["RST_STREAM of an idle stream", PROTOCOL_ERROR, () => [reset(7, 8)]],
    ["RST_STREAM on stream 0", PROTOCOL_ERROR, () => [reset(0, 8)]],
    ["RST_STREAM of three bytes", FRAME_SIZE_ERROR, () => [post(), frame(TYPE.reset, 0, 1, Buffer.alloc(3))]],
    ["GOAWAY on a stream", PROTOCOL_ERROR, () => [frame(TYPE.goaway, 0, 1, Buffer.alloc(8))]],
    ["GOAWAY of four bytes", FRAME_SIZE_ERROR, () => [frame(TYPE.goaway, 0, 0, Buffer.alloc(4))]],
    ["WINDOW_UPDATE 0 of the connection", PROTOCOL_ERROR, () => [windowUpdate(0, 0)]],
    ["WINDOW_UPDATE that overflows the connection", FLOW_CONTROL_ERROR, () => [windowUpdate(0, 0x7fffffff)]],
    ["WINDOW_UPDATE 0 of a stream", PROTOCOL_ERROR, () => [post(), windowUpdate(1, 0)]],
    ["WINDOW_UPDATE of an idle stream", PROTOCOL_ERROR, () => [windowUpdate(7, 1)]],
    ["WINDOW_UPDATE of three bytes", FRAME_SIZE_ERROR, () => [frame(TYPE.window, 0, 0, Buffer.alloc(3))]],
    ["SETTINGS of one byte", FRAME_SIZE_ERROR, () => [frame(TYPE.settings, 0, 0, Buffer.from([1]))]],
    ["SETTINGS on a stream", PROTOCOL_ERROR, () => [frame(TYPE.settings, 0, 1)]],
    ["SETTINGS ACK with content", FRAME_SIZE_ERROR, () => [frame(TYPE.settings, ACK, 0, Buffer.alloc(6))]],
    ["SETTINGS ACK for nothing", PROTOCOL_ERROR, () => Array.from({ length: 3 }, () => frame(TYPE.settings, ACK, 0))],
    ["SETTINGS_ENABLE_PUSH 2", PROTOCOL_ERROR, () => [settings(2, 2)]],
    ["SETTINGS_INITIAL_WINDOW_SIZE 2^31", FLOW_CONTROL_ERROR, () => [settings(4, 0x80000000)]],
    ["SETTINGS_MAX_FRAME_SIZE 1", PROTOCOL_ERROR, () => [settings(5, 1)]],
    ["SETTINGS_MAX_FRAME_SIZE 2^24", PROTOCOL_ERROR, () => [settings(5, 0x1000000)]],
    ["SETTINGS_ENABLE_CONNECT_PROTOCOL 2", PROTOCOL_ERROR, () => [settings(8, 2)]],
    [
      "a window that later SETTINGS overflow",
      FLOW_CONTROL_ERROR,
      () => [post(), windowUpdate(1, 0x7fff0000), settings(4, 0x7fffffff)],
    ],
    ["an index that no table has", COMPRESSION_ERROR, () => [frame(TYPE.headers, 5, 1, Buffer.from([0x80 | 70]))]],
    ["an index that overflows", COMPRESSION_ERROR, () => [frame(TYPE.headers, 5, 1, Buffer.alloc(12, 0xff))]],
    [
      "a string longer than its block",
      COMPRESSION_ERROR,
      () => [frame(TYPE.headers, 5, 1, Buffer.from([0, 0x7f, 0xff, 0xff, 0x7f]))],
    ],
    [
      "Huffman that is not padded with ones",
      COMPRESSION_ERROR,
      () => [frame(TYPE.headers, 5, 1, Buffer.from([0, 0x81, 0x00, 0x01, 0x61]))],
    ],
    [
      "a table larger than announced",
      COMPRESSION_ERROR,
      () => [
        frame(TYPE.headers, 5, 1, Buffer.concat([Buffer.from([0x3f, 0xff, 0xff, 0x7f]), block(target.request())])),
      ],
    ],
  ])("%s", async (_name, code, frames) => {
    const before = target.joined.records.length;
    const guest = await target.attack();
    guest.send(...frames());
    await guest.ended();
    expect(guest.reader.codes().get(0)).toBe(code);
    const heard = await target.heard();
    expect(heard.replace(/^POST \/ HTTP\/1\.1\r\n(.*\r\n)+\r\n/, "")).toBe("");
    const violations = target.joined.records.slice(before).filter(({ denial }) => denial === "http2_violation");
    expect(violations).toMatchObject([{ kind: "connection", outcome: "denied", status: 400 }]);
  });
});

describe("is left aside", () => {
  test.each<[string, () => Uint8Array[]]>([
    [
      "a frame of an unknown type",
      () => [frame(0x77, 0xff, 0, Buffer.alloc(100)), frame(0x77, 0xff, 9, Buffer.alloc(100))],
    ],
    ["PRIORITY of a stream on itself", () => [frame(TYPE.priority, 0, 9, Buffer.concat([u32(9), Buffer.from([1])]))]],
    [
      "ALTSVC and ORIGIN from a guest",
      () => [frame(0xa, 0, 0, Buffer.from("\0\x03foo=bar")), frame(0xc, 0, 0, Buffer.from("\0\x03foo"))],
    ],
    ["ENABLE_CONNECT_PROTOCOL from a guest, taken back", () => [settings(8, 1), settings(8, 0)]],
    ["a table of 4 GB", () => [settings(1, 0xffffffff)]],
    ["settings that nobody knows", () => [settings(0xffff, 0xffffffff)]],
  ])("%s: the next request is answered", async (_name, frames) => {
    const guest = await target.attack();
    guest.send(...frames(), headers(1, target.request()));
    await guest.answered(1);
    expect(guest.body(1)).toBe("ok");
    guest.socket.destroy();
    expect(await target.heard()).toMatch(/^GET \/ HTTP\/1\.1\r\n/);
  });

  test("DATA and HEADERS behind END_STREAM, ids that go back: one request is heard", async () => {
    const guest = await target.attack();
    guest.send(headers(5, target.request("/five")), frame(TYPE.data, END_STREAM, 5, Buffer.from("more")));
    guest.send(
      headers(3, target.request("/three")),
      headers(1, target.request("/one")),
      headers(5, target.request("/again")),
    );
    await guest.answered(5);
    guest.socket.destroy();
    expect((await target.heard()).match(/^\w+ \/\S* HTTP/gm)).toEqual(["GET /five HTTP"]);
  });

  test("GOAWAY of a guest in the middle: what runs is answered, nothing begins", async () => {
    const guest = await target.attack();
    guest.send(headers(1, target.request("/first")), frame(TYPE.goaway, 0, 0, Buffer.alloc(8)));
    guest.send(headers(3, target.request("/second")));
    await guest.answered(1);
    await guest.ended();
    expect((await target.heard()).match(/^\w+ \/\S* HTTP/gm)).toEqual(["GET /first HTTP"]);
  });
});
