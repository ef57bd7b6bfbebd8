import { afterAll, beforeAll, expect, test } from "vitest";
import type { NewStream } from "../../src/guest/http2/begin-turns.ts";
import { Http2GuestConnection } from "../../src/guest/http2/connection.ts";
import { END_HEADERS, END_STREAM, frame, headers, reset, TYPE } from "../guest/support/h2-frames.ts";
import { eventually } from "../line/support/joined.ts";
import { type Field, startTarget, type Target } from "./support/h2-attacker.ts";

/** Many streams in one segment: they begin a few at a time, in order, and whole. */

const STREAMS = Array.from({ length: 60 }, (_, i) => 1 + 2 * i);
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CANCEL = 8;

let target: Target;

beforeAll(async () => {
  // One connection towards the upstream: what begins first is sent first.
  target = await startTarget({ timeouts: { bodyIdleMs: 3000 }, maxConnections: 100 }, (socket, received) => {
    if (received.endsWith("\r\n\r\n")) socket.write(OK);
  });
});

afterAll(async () => {
  await target.close();
  expect(target.joined.faults).toEqual([]);
  await eventually(() => target.joined.sweep.size === 0, "the end of every deadline");
});

const post = (stream: number, path: string, ...more: Field[]): Buffer =>
  headers(stream, [...target.request(path, "POST"), ...more], END_HEADERS);

test("each with a body and trailers: all of it is heard of every one", async () => {
  const guest = await target.attack();
  const before = target.upstream.received.length;
  guest.send(
    Buffer.concat(
      STREAMS.flatMap((stream) => [
        post(stream, `/s${stream}`),
        frame(TYPE.data, 0, stream, Buffer.from(`body ${stream}`)),
        headers(stream, [["x-sum", `sum ${stream}`]], END_STREAM | END_HEADERS),
      ]),
    ),
  );
  for (const stream of STREAMS) await guest.answered(stream);
  const heard = target.upstream.received.slice(before).join("");
  for (const stream of STREAMS) {
    expect(guest.body(stream)).toBe("ok");
    expect(heard).toContain(`POST /s${stream} HTTP/1.1\r\n`);
    expect(heard).toContain(`body ${stream}\r\n0\r\nx-sum: sum ${stream}\r\n\r\n`);
  }
  guest.socket.destroy();
  await target.heard();
});

test("those that are reset in it are written down, and those between them are served in order", async () => {
  const guest = await target.attack();
  const before = target.joined.records.length;
  guest.send(
    Buffer.concat(
      STREAMS.flatMap((stream) => [
        headers(stream, target.request(`/r${stream}`)),
        ...(stream % 4 === 1 ? [] : [reset(stream, CANCEL)]),
      ]),
    ),
  );
  const kept = STREAMS.filter((stream) => stream % 4 === 1);
  for (const stream of kept) await guest.answered(stream);
  const records = () => target.joined.records.slice(before).filter(({ kind }) => kind === "http");
  await eventually(() => records().length === STREAMS.length, "a record of each");
  expect(new Set(records().map(({ path }) => path))).toEqual(new Set(STREAMS.map((stream) => `/r${stream}`)));
  const outcomes = records().map(({ path, outcome }) => [path, outcome]);
  for (const stream of STREAMS)
    expect(outcomes).toContainEqual([`/r${stream}`, stream % 4 === 1 ? "completed" : "guest_aborted"]);
  const started = records()
    .filter(({ outcome }) => outcome === "completed")
    .toSorted((a, b) => a.startedMs - b.startedMs)
    .map(({ path }) => path);
  expect(started).toEqual(kept.map((stream) => `/r${stream}`));
  guest.socket.destroy();
  await target.heard();
});

test("another guest is served in between", async () => {
  const flooder = await target.attack();
  const other = await target.attack();
  const before = target.joined.records.length;
  flooder.send(Buffer.concat(STREAMS.map((stream) => headers(stream, target.request("/many")))));
  other.send(headers(1, target.request("/one")));
  await other.answered(1);
  for (const stream of STREAMS) await flooder.answered(stream);
  const starts = target.joined.records
    .slice(before)
    .filter(({ kind }) => kind === "http")
    .toSorted((a, b) => a.startedMs - b.startedMs);
  expect(starts.findIndex(({ path }) => path === "/one")).toBeLessThan(40);
  flooder.socket.destroy();
  other.socket.destroy();
  await target.heard();
});

test("after the connection was cut nothing more of it begins", async () => {
  const begin = Reflect.get(Http2GuestConnection.prototype, "begin") as (stream: NewStream) => void;
  const before = target.joined.records.length;
  const heard = target.upstream.received.length;
  let begun = 0;
  Http2GuestConnection.prototype.begin = function (this: Http2GuestConnection, stream) {
    begin.call(this, stream);
    if (++begun === 8) this.cut();
  };
  try {
    const guest = await target.attack();
    guest.send(Buffer.concat(STREAMS.map((stream) => headers(stream, target.request(`/cut${stream}`)))));
    await guest.ended();
    await target.heard();
  } finally {
    Http2GuestConnection.prototype.begin = begin;
  }
  const records = target.joined.records.slice(before).filter(({ path }) => path.startsWith("/cut"));
  expect(records.map(({ outcome }) => outcome)).toEqual(Array(8).fill("edge_aborted"));
  const sent =
    target.upstream.received
      .slice(heard)
      .join("")
      .match(/\/cut\d+/g) ?? [];
  expect(sent.filter((path) => !records.some((record) => record.path === path))).toEqual([]);
});
