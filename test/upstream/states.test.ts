import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Authority } from "../../src/core/authority.ts";
import { Denial } from "../../src/core/denial.ts";
import { Permit, PinnedAddress, Session } from "../../src/core/exchange.ts";
import { Fields } from "../../src/core/fields.ts";
import type { AnswerSink, BodySink, RequestBody, UpstreamChannel } from "../../src/core/wire.ts";
import { UpstreamPools } from "../../src/upstream/pools.ts";
import { UPSTREAM_STATES, type UpstreamState } from "../../src/upstream/states.ts";
import { UpstreamTrust } from "../../src/upstream/trust.ts";
import { startFairSweep } from "../core/support/fair-sweep.ts";
import { MOODS, type Mood, startMoodyUpstream } from "../guest/support/moody-upstream.ts";
import { DESTINATION, eventually, LIMITS, TIMEOUTS } from "../line/support/joined.ts";

const STATES = Object.keys(UPSTREAM_STATES) as UpstreamState[];

describe("the table of upstream states", () => {
  test("every state can be reached from a new connection", () => {
    const seen = new Set<UpstreamState>(["idle"]);
    for (const state of seen) for (const next of UPSTREAM_STATES[state].next) seen.add(next);
    expect([...seen].toSorted()).toEqual(STATES.toSorted());
  });

  test.each(STATES)("%s can be closed at once, and closed is the end", (state) => {
    expect(UPSTREAM_STATES[state].next.includes("closed")).toBe(state !== "closed");
    expect(UPSTREAM_STATES.closed.next).toEqual([]);
  });

  test.each(STATES)("%s has a timeout that exists, unless somebody else watches its time", (state) => {
    const { timeout } = UPSTREAM_STATES[state];
    if (timeout === null) expect(["upgraded", "closed"]).toContain(state);
    else expect(Object.keys(TIMEOUTS)).toContain(timeout);
  });

  test("a connection goes back to the pool only from where its answer ends", () => {
    const before = STATES.filter((state) => UPSTREAM_STATES[state].next.includes("idle"));
    expect(before.toSorted()).toEqual(["answering", "awaiting_answer"]);
  });
});

// --- every order of events ------------------------------------------------------------------------------------------

interface Errand {
  readonly mood: Mood;
  readonly body: "none" | "whole" | "stream" | "late" | "broken" | "silent";
  /** How slowly the answer is taken: flushes that say no. */
  readonly reluctance: number;
  readonly afterMs: number;
  readonly end: "let" | "abort-now" | "abort-later" | "release";
  readonly fresh: boolean;
}

const errand: fc.Arbitrary<Errand> = fc.record({
  mood: fc.constantFrom<Mood>("plain", "plain", "plain", "large", ...MOODS),
  body: fc.constantFrom("none", "none", "none", "whole", "stream", "late", "broken", "silent"),
  reluctance: fc.nat(2),
  afterMs: fc.nat(6),
  end: fc.constantFrom("let", "let", "let", "let", "abort-now", "abort-later", "release"),
  fresh: fc.nat(5).map((n) => n === 0),
});

test("whatever upstreams and takers do, each taker is told one end, and no connection is lost or shared", async () => {
  const ends = new Set<string>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(errand, { minLength: 1, maxLength: 8 }),
      fc.constantFrom(1, 2, 16),
      async (errands, maxConnections) => {
        for (const end of await run(errands, maxConnections)) ends.add(end);
      },
    ),
    { numRuns: 200, seed: 51_208, endOnFailure: true },
  );
  expect([...ends].toSorted()).toEqual(
    expect.arrayContaining([
      "end",
      "failed request_timeout",
      "failed upstream_protocol",
      "failed upstream_timeout",
      "failed upstream_unreachable",
      "never held",
      "upgraded",
    ]),
  );
}, 600_000);

async function run(errands: readonly Errand[], maxConnections: number): Promise<string[]> {
  const upstream = await startMoodyUpstream();
  const time = startFairSweep();
  const { clock, sweep } = time;
  const faults: unknown[] = [];
  const onFault = (thrown: unknown): void => void faults.push(thrown);
  process.on("uncaughtException", onFault);
  process.on("unhandledRejection", onFault);
  let open = 0;
  const pools = new UpstreamPools(new UpstreamTrust([]), {
    clock,
    sweep,
    timeouts: { upstreamConnectMs: 60, upstreamHeadMs: 40, bodyIdleMs: 40, upstreamKeepaliveMs: 25 },
    limits: LIMITS,
    maxConnections,
    isShared: false,
    events: { opened: () => void open++, reused: () => undefined, closed: () => void open-- },
  });
  const authority = Authority.parse(`api.test:${upstream.port}`, null) as Authority;
  const session = Session.prove({ id: "s", tenant: "t", workspace: "w", subject: "u", roles: [] });
  const permit = Permit.grant(session, authority, DESTINATION, "allow[0]");
  const held = new Set<UpstreamChannel>();
  const takers = errands.map((each, i) => new Taker(`t${i}`, each, held));
  try {
    await Promise.all(
      takers.map((taker) =>
        taker.run(() =>
          pools.connect(permit, PinnedAddress.check(authority, ["127.0.0.1"]), {
            fresh: taker.fresh,
            http2: false,
            identity: null,
          }),
        ),
      ),
    );
    await eventually(() => open === 0 && sweep.size === 0, "the end of every connection");
    await eventually(() => upstream.open() === 0, "the upstream's end of every connection");
    expect(faults).toEqual([]);
    expect(upstream.strays).toEqual([]);
    for (const taker of takers) taker.look();
  } finally {
    time.stop();
    process.off("uncaughtException", onFault);
    process.off("unhandledRejection", onFault);
    await upstream.close();
  }
  return takers.flatMap(({ ends }) => ends);
}

/** Takes one connection and writes down everything that it is told. */
class Taker implements AnswerSink {
  readonly ends: string[] = [];
  readonly fresh: boolean;
  readonly #id: string;
  readonly #errand: Errand;
  readonly #held: Set<UpstreamChannel>;
  #channel: UpstreamChannel | null = null;
  #isOver: (() => void) | null = null;
  #isAborted = false;
  #reluctance: number;
  #text = "";

  constructor(id: string, errand: Errand, held: Set<UpstreamChannel>) {
    this.#id = id;
    this.#errand = errand;
    this.#held = held;
    this.#reluctance = errand.reluctance;
    this.fresh = errand.fresh;
  }

  async run(connect: () => UpstreamChannel | Promise<UpstreamChannel>): Promise<void> {
    const { mood, body, afterMs, end } = this.#errand;
    await pause(afterMs);
    let channel: UpstreamChannel;
    try {
      channel = await connect();
    } catch (thrown) {
      this.#ended(`never held`);
      expect(Denial.from(thrown).code).toBe("upstream_timeout");
      return;
    }
    // Nobody else has it.
    expect(this.#held.has(channel)).toBe(false);
    this.#held.add(channel);
    this.#channel = channel;
    if (end === "release") {
      this.#ended("released");
      channel.release();
      return;
    }
    const over = new Promise<void>((resolve) => {
      this.#isOver = resolve;
    });
    const head = { method: body === "none" ? "GET" : "POST", target: `/${mood}/${this.#id}`, fields: this.#fields() };
    const upgrade = mood === "switches" && body === "none" ? ("websocket" as const) : null;
    const request = {
      body: bodyOf(body),
      upgrade,
      filter: null,
      wantsTrailers: false,
      cleanseTrailers: () => undefined,
    };
    if (!channel.send(head, request, this)) {
      this.#ended("not sent");
      channel.release();
      return;
    }
    if (end === "abort-now") this.#abort();
    if (end === "abort-later") setTimeout(() => this.#abort(), 3);
    await over;
  }

  /** One end, the answer one's own, and whole when it is said to be. */
  look(): void {
    expect(this.ends).toHaveLength(1);
    if (this.#text !== "") expect(`${this.#id};`.startsWith(this.#text.slice(0, this.#id.length + 1))).toBe(true);
  }

  interim(): void {
    this.#told();
  }

  head(head: Parameters<AnswerSink["head"]>[0]): void {
    this.#told();
    expect(head.fields.get("x-id")).toBe(this.#id);
  }

  data(chunk: Buffer): void {
    this.#told();
    this.#text += chunk.toString("latin1");
  }

  end(): void {
    this.#ended("end");
  }

  flush(): boolean {
    if (this.#reluctance === 0 || this.ends.length > 0) return true;
    this.#reluctance--;
    setTimeout(() => this.#channel?.resume(), 2);
    return false;
  }

  upgraded(_head: Parameters<AnswerSink["upgraded"]>[0], stream: Parameters<AnswerSink["upgraded"]>[1]): void {
    this.#ended("upgraded");
    stream.destroy();
  }

  failed(denial: Denial): void {
    this.#ended(`failed ${denial.code}`);
  }

  #abort(): void {
    if (this.ends.length > 0) return;
    this.#isAborted = true;
    this.#ended("aborted");
    this.#channel?.abort();
  }

  #told(): void {
    expect(this.#isAborted).toBe(false);
    expect(this.ends).toEqual([]);
  }

  #ended(how: string): void {
    this.ends.push(how);
    if (this.#channel !== null) this.#held.delete(this.#channel);
    this.#isOver?.();
  }

  #fields(): Fields {
    const { body } = this.#errand;
    const length: [string, string][] = body === "none" || body === "stream" ? [] : [["Content-Length", "5"]];
    return Fields.of([["Host", "api.test"], ...length]);
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function bodyOf(kind: Errand["body"]): RequestBody {
  const hello = Buffer.from("hello");
  const whole = (sink: BodySink): void => {
    sink.bodyData(hello);
    sink.bodyEnd(null);
    sink.bodyFlush();
  };
  return {
    length: kind === "none" ? "none" : kind === "stream" ? "stream" : hello.length,
    expectContinue: false,
    resume: () => undefined,
    start(sink) {
      if (kind === "whole" || kind === "stream") whole(sink);
      if (kind === "late") setTimeout(() => whole(sink), 4);
      if (kind === "broken") {
        sink.bodyData(hello.subarray(0, 2));
        sink.bodyFlush();
        setTimeout(() => sink.bodyBroken(new Denial("request_malformed")), 2);
      }
    },
  };
}
