import { afterEach, describe, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { Fields } from "../../src/core/fields.ts";
import { eventually } from "../line/support/joined.ts";
import {
  DATA,
  END_STREAM,
  frame,
  type Frame,
  type FramePeer,
  type FrameServer,
  headers,
  HEADERS,
  RST_STREAM,
  settings,
  startFrames,
  u32,
  WINDOW_UPDATE,
} from "./support/http2-frames.ts";
import { Body, Pooled } from "./support/pooled.ts";

/** What is on the wire when this side ends a stream before its time: a request must never look whole that is not. */

let server: FrameServer;
let pooled: Pooled;

afterEach(async () => {
  await server.close();
  await pooled.stop();
});

async function start(
  serve: (peer: FramePeer, got: Frame) => void = () => undefined,
  greeting: Buffer[] = [settings()],
): Promise<void> {
  server = await startFrames(serve, { greeting });
  // No clock of the edge's own resets anything.
  const timeouts = { upstreamHeadMs: 600_000, bodyIdleMs: 600_000 };
  pooled = new Pooled(server.port, { destination: { scheme: "http", http: "h2c" }, timeouts });
}

const seen = (type: number): boolean => server.framesOf(type, 1).length > 0;
const resets = (): number[] => server.framesOf(RST_STREAM, 1).map(({ payload }) => payload.readUInt32BE(0));
const isEnded = (): boolean =>
  [...server.framesOf(DATA, 1), ...server.framesOf(HEADERS, 1)].some(({ flags }) => (flags & END_STREAM) !== 0);
const ok = (flags = 0): Buffer => headers(1, flags, [":status", "200"]);

describe.each(["stream", 100_000] as const)("a request body of length %s", (length) => {
  const body = (): Body =>
    new Body(length, (sink) => {
      sink.bodyData(Buffer.from("begin"));
      sink.bodyFlush();
    });

  test("that the guest breaks off is reset, and not ended", async () => {
    await start();
    const mine = body();
    const answer = pooled.begin(await pooled.connect(), { method: "POST", body: mine });
    await eventually(() => seen(DATA), "the body");
    mine.sink?.bodyBroken(new Denial("request_malformed"));
    await answer.over;
    await eventually(() => seen(RST_STREAM), "the reset");
    expect(resets()).toEqual([8]);
    expect(isEnded()).toBe(false);
  });

  test.each(["before", "after"])("that is aborted %s the answer began is reset, and not ended", async (when) => {
    await start((peer, { type }) => {
      if (type === DATA && when === "after") peer.send(ok(), frame(DATA, 0, 1, "part"));
    });
    const answer = pooled.begin(await pooled.connect(), { method: "POST", body: body() });
    await eventually(() => seen(DATA) && (when === "before" || answer.bytes > 0), "the body");
    answer.channel.abort();
    await eventually(() => seen(RST_STREAM), "the reset");
    expect(resets()).toEqual([8]);
    expect(isEnded()).toBe(false);
  });

  test("of which not all was wanted is reset, and not ended", async () => {
    await start((peer, { type }) => type === DATA && peer.send(ok(), frame(DATA, END_STREAM, 1, "early")));
    const answer = await pooled.ask({ method: "POST", body: body() });
    expect(answer).toMatchObject({ ended: true, text: "early" });
    await eventually(() => seen(RST_STREAM), "the reset");
    expect(resets()).toEqual([8]);
    expect(isEnded()).toBe(false);
  });

  test("that is stuck when the answer ends is given up", async () => {
    // No window at all: the body, which is complete for the guest, cannot leave.
    const serve = (peer: FramePeer, { type, stream }: Frame): void => {
      if (type === HEADERS) peer.send(headers(stream, END_STREAM, [":status", "200"]));
    };
    await start(serve, [settings([4, 0])]);
    const whole = new Body(length, (sink) => {
      sink.bodyData(Buffer.alloc(length === "stream" ? 10_000 : length));
      sink.bodyEnd(length === "stream" ? Fields.of([["x-sum", "1"]]) : null);
      sink.bodyFlush();
    });
    const answer = await pooled.ask({ method: "POST", body: whole });
    expect(answer).toMatchObject({ ended: true, status: 200 });
    await eventually(() => seen(RST_STREAM), "the reset");
    server.peers[0]?.send(frame(WINDOW_UPDATE, 0, 1, u32(100_000)));
    expect((await pooled.ask()).ended).toBe(true);
    expect(isEnded()).toBe(false);
  });
});

describe("an abort reaches a silent upstream at once", () => {
  test("while it is awaited", async () => {
    await start();
    const answer = pooled.begin(await pooled.connect());
    await eventually(() => seen(HEADERS), "the request");
    answer.channel.abort();
    await eventually(() => seen(RST_STREAM), "the reset");
    expect(resets()).toEqual([8]);
  });

  test.each([true, false])("in the middle of its answer (taken: %s)", async (takes) => {
    await start((peer, { type }) => type === HEADERS && peer.send(ok(), frame(DATA, 0, 1, "part")));
    const answer = pooled.begin(await pooled.connect(), { takes });
    await eventually(() => answer.flushes > 0, "the answer");
    answer.channel.abort();
    await eventually(() => seen(RST_STREAM), "the reset");
    expect(resets()).toEqual([8]);
  });
});
