import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { Fields } from "../../src/core/fields.ts";
import { STREAM_STATES, type StreamState } from "../../src/upstream/stream-states.ts";
import { eventually, TIMEOUTS } from "../line/support/joined.ts";
import {
  DATA,
  END_STREAM,
  frame,
  type FramePeer,
  GOAWAY,
  headers,
  HEADERS,
  RST_STREAM,
  settings,
  startFrames,
  u32,
  WINDOW_UPDATE,
} from "./support/http2-frames.ts";
import { type Answer, Body, Pooled } from "./support/pooled.ts";

const STATES = Object.keys(STREAM_STATES) as StreamState[];

describe("the table of stream states", () => {
  test("every state can be reached from a place that is held", () => {
    const seen = new Set<StreamState>(["held"]);
    for (const state of seen) for (const next of STREAM_STATES[state].next) seen.add(next);
    expect([...seen].toSorted()).toEqual(STATES.toSorted());
  });

  test.each(STATES)("%s can be closed at once, closed is the end, and no state leads back", (state) => {
    const { next } = STREAM_STATES[state];
    expect(next.includes("closed")).toBe(state !== "closed");
    for (const each of next) expect(STATES.indexOf(each)).toBeGreaterThan(STATES.indexOf(state));
  });

  test.each(STATES)("%s has a timeout that exists, unless somebody else watches its time", (state) => {
    const { timeout } = STREAM_STATES[state];
    if (timeout === null) expect(["held", "upgraded", "closed"]).toContain(state);
    else expect(Object.keys(TIMEOUTS)).toContain(timeout);
  });
});

// --- every order of events ------------------------------------------------------------------------------------------

/** What the upstream does to one request; steps apart by a turn of the event loop. */
type Step =
  | "interim"
  | "head"
  | "head-last"
  | "data"
  | "data-last"
  | "trailers"
  | "window"
  | "reset"
  | "reset-no-error"
  | "refuse"
  | "goaway"
  | "goaway-error"
  | "hang-up"
  | "wait";

interface Errand {
  readonly steps: readonly Step[];
  readonly body: "none" | "whole" | "trailers" | "large" | "broken" | "silent";
  readonly takes: boolean;
  readonly end: "let" | "abort-now" | "abort-later" | "abort-at-head" | "release";
  readonly afterMs: number;
}

const step = fc.constantFrom<Step>(
  "interim",
  "head",
  "head",
  "head-last",
  "data",
  "data",
  "data-last",
  "trailers",
  "window",
  "window",
  "reset",
  "reset-no-error",
  "refuse",
  "goaway",
  "goaway-error",
  "hang-up",
  "wait",
  "wait",
);

const errand: fc.Arbitrary<Errand> = fc.record({
  steps: fc.oneof(
    fc.constantFrom<Step[]>(
      ["head", "data-last"],
      ["head-last"],
      ["head", "data", "trailers"],
      ["wait", "head", "data-last"],
    ),
    fc.array(step, { maxLength: 6 }),
  ),
  body: fc.constantFrom("none", "none", "whole", "trailers", "trailers", "large", "broken", "silent"),
  takes: fc.boolean(),
  end: fc.constantFrom("let", "let", "let", "abort-now", "abort-later", "abort-at-head", "release"),
  afterMs: fc.nat(5),
});

test("whatever upstreams and takers do over HTTP/2, each taker is told one end, and no connection is lost", async () => {
  const ends = new Set<string>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(errand, { minLength: 1, maxLength: 8 }),
      fc.constantFrom(0, 10, 65_535),
      fc.constantFrom(1, 3, 100),
      async (errands, window, streams) => {
        for (const end of await run(errands, window, streams)) ends.add(end);
      },
    ),
    { numRuns: 250, seed: 72_110, endOnFailure: true },
  );
  expect([...ends].toSorted()).toEqual(
    expect.arrayContaining([
      "aborted",
      "end",
      "failed request_timeout",
      "failed upstream_protocol",
      "failed upstream_timeout",
      "failed upstream_unreachable",
      "released",
    ]),
  );
}, 600_000);

async function run(errands: readonly Errand[], window: number, streams: number): Promise<string[]> {
  const server = await startFrames(
    (peer, { type, stream, payload }) => {
      if (type !== HEADERS) return;
      // Which errand it is, in a sign that Huffman codes would only make longer (RFC 7541 Appendix B).
      const sign = /<+/.exec(payload.toString("latin1"))?.[0] ?? "";
      void serve(peer, stream, errands[sign.length - 1]?.steps ?? []);
    },
    { greeting: [settings([4, window], [3, streams])] },
  );
  const pooled = new Pooled(server.port, {
    destination: { scheme: "http", http: "h2c" },
    maxConnections: 3,
    timeouts: { upstreamConnectMs: 120, upstreamHeadMs: 60, bodyIdleMs: 60, upstreamKeepaliveMs: 40 },
  });
  try {
    return await Promise.all(errands.map((each, i) => take(pooled, each, i)));
  } finally {
    await server.close();
    await pooled.stop();
  }
}

async function serve(peer: FramePeer, stream: number, steps: readonly Step[]): Promise<void> {
  for (const each of steps) {
    await new Promise((resolve) => setImmediate(resolve));
    const frames: Record<Exclude<Step, "hang-up">, Buffer> = {
      interim: headers(stream, 0, [":status", "103"]),
      head: headers(stream, 0, [":status", "200"]),
      "head-last": headers(stream, END_STREAM, [":status", "200"]),
      data: frame(DATA, 0, stream, Buffer.alloc(3000, 1)),
      "data-last": frame(DATA, END_STREAM, stream, "last"),
      trailers: headers(stream, END_STREAM, ["x-sum", "1"]),
      window: frame(WINDOW_UPDATE, 0, stream, u32(5000)),
      reset: frame(RST_STREAM, 0, stream, u32(2)),
      "reset-no-error": frame(RST_STREAM, 0, stream, u32(0)),
      refuse: frame(RST_STREAM, 0, stream, u32(7)),
      goaway: frame(GOAWAY, 0, 0, u32(stream, 0)),
      "goaway-error": frame(GOAWAY, 0, 0, u32(stream, 2)),
      wait: Buffer.alloc(0),
    };
    if (each === "hang-up") peer.socket.destroy();
    else if (each === "wait") await new Promise((resolve) => setTimeout(resolve, 3));
    else peer.send(frames[each]);
  }
}

async function take(pooled: Pooled, { body, takes, end, afterMs }: Errand, i: number): Promise<string> {
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  let answer: Answer;
  try {
    const channel = await pooled.connect();
    if (end === "release") {
      channel.release();
      return "released";
    }
    answer = pooled.begin(channel, {
      method: body === "none" ? "GET" : "POST",
      fields: [["x-errand", "<".repeat(i + 1)]],
      ...bodyOf(body),
      takes,
    });
  } catch (thrown) {
    return `never held ${Denial.from(thrown).code}`;
  }
  if (!answer.isSent) return "not sent";
  const takeOn = (): void => {
    answer.takes = true;
    answer.channel.resume();
  };
  if (!takes) setTimeout(takeOn, 10);
  if (end !== "let") {
    if (end === "abort-later") await new Promise((resolve) => setTimeout(resolve, 4));
    if (end === "abort-at-head") {
      await eventually(() => answer.finalHead !== null || answer.failure !== null || answer.ended, "a head or an end");
    }
    if (answer.failure === null && !answer.ended) {
      answer.channel.abort();
      // Told nothing from here on: that would throw.
      return "aborted";
    }
  }
  await answer.over;
  // Asked again, the upstream would give a second answer behind what the guest has of this one.
  if (answer.failure !== null && answer.failure.standing !== "perhaps_done")
    expect([answer.finalHead, answer.interims]).toEqual([null, []]);
  return answer.ended ? "end" : `failed ${answer.failure?.denial.code}`;
}

function bodyOf(kind: Errand["body"]): { readonly body?: Body } {
  if (kind === "none") return {};
  const isLarge = kind === "large";
  const chunk = Buffer.alloc(isLarge ? 40_000 : 300, 3);
  const body = new Body(kind === "whole" || isLarge ? chunk.length : "stream", (sink) => {
    sink.bodyData(chunk);
    sink.bodyFlush();
    if (kind === "silent") return;
    if (kind === "broken") {
      setTimeout(() => sink.bodyBroken(new Denial("request_malformed")), 2);
      return;
    }
    sink.bodyEnd(kind === "trailers" ? Fields.of([["x-sum", "1"]]) : null);
    sink.bodyFlush();
  });
  return { body };
}
