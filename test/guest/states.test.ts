import * as fc from "fast-check";
import { connect, type Socket } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { GUEST_STATES, type GuestState } from "../../src/guest/states.ts";
import { makeCa, type TestLeaf } from "../house/support/certificates.ts";
import { eventually, type Joined, type JoinedOptions, startJoined, TIMEOUTS, TOKEN } from "../line/support/joined.ts";
import { answersIn } from "./support/answers.ts";
import { type MoodyUpstream, MOODS, type Mood, reset, startMoodyUpstream } from "./support/moody-upstream.ts";

const STATES = Object.keys(GUEST_STATES) as GuestState[];

/** Every state that can follow `from`, directly or not. */
function reachable(from: GuestState): Set<GuestState> {
  const seen = new Set<GuestState>();
  const walk = (state: GuestState): void => {
    for (const next of GUEST_STATES[state].next) {
      if (seen.has(next)) continue;
      seen.add(next);
      walk(next);
    }
  };
  walk(from);
  return seen;
}

describe("the table of guest states", () => {
  test("every state can be reached from a fresh connection", () => {
    expect([...reachable("fresh"), "fresh"].toSorted()).toEqual(STATES.toSorted());
  });

  test.each(STATES)("%s can be closed at once, and closed is the end", (state) => {
    expect(GUEST_STATES[state].next.includes("closed")).toBe(state !== "closed");
    expect(GUEST_STATES.closed.next).toEqual([]);
  });

  test.each(STATES)("%s names a timeout that exists, and a denial only with one", (state) => {
    const { timeout, onTimeout } = GUEST_STATES[state];
    if (timeout !== null) expect(Object.keys(TIMEOUTS)).toContain(timeout);
    if (onTimeout !== null) {
      expect(timeout).not.toBeNull();
      expect(new Denial(onTimeout).entry.stage).toBe("listen");
    }
  });

  test("states in which nobody but the guest can go on have a timeout", () => {
    for (const state of [
      "fresh",
      "idle",
      "reading_head",
      "relaying_body",
      "answered_early",
      "delivering",
      "lingering",
    ] as const) {
      expect(GUEST_STATES[state].timeout).not.toBeNull();
    }
  });
});

let directory: string;
let leaf: TestLeaf;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-states-"));
  leaf = await (await makeCa(directory)).issue(["api.test"]);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

// --- every order of events ------------------------------------------------------------------------------------------

interface Ask {
  readonly method: "GET" | "HEAD" | "POST" | "PUT";
  readonly mood: Mood;
  readonly body: "none" | "length" | "chunked" | "expect" | "bad-chunk";
  readonly version: "1.0" | "1.1";
  readonly close: boolean;
  readonly upgrade: boolean;
}

type Step =
  | { readonly do: "ask"; readonly ask: Ask; readonly pieces: number }
  | { readonly do: "connect" | "connect-tls" | "garbage" | "half-head" | "half-body" | "raw" }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "turn" }
  | { readonly do: "stop-reading" | "read-on" };

interface Guest {
  readonly steps: readonly Step[];
  readonly leave: "when-answered" | "end" | "destroy" | "reset" | "stay" | "stall";
}

interface Story {
  readonly guests: readonly Guest[];
  /** What the stages of the line do, in turn: at once, after a while, or refuse. */
  readonly stages: readonly ("now" | "turn" | "later" | "refuse")[];
  readonly drainAfterMs: number | null;
  readonly maxConnections: number;
}

const ask: fc.Arbitrary<Ask> = fc.record({
  method: fc.constantFrom("GET", "GET", "HEAD", "POST", "POST", "PUT"),
  mood: fc.constantFrom<Mood>("plain", "plain", "plain", ...MOODS),
  body: fc.constantFrom("none", "none", "none", "length", "chunked", "expect", "bad-chunk"),
  version: fc.constantFrom("1.1", "1.1", "1.1", "1.1", "1.0"),
  close: fc.nat(9).map((n) => n === 0),
  upgrade: fc.nat(6).map((n) => n === 0),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("ask" as const), ask, pieces: fc.integer({ min: 1, max: 4 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "connect",
        "connect-tls",
        "garbage",
        "half-head",
        "half-body",
        "raw",
        "stop-reading",
        "read-on",
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 2, arbitrary: fc.constant({ do: "turn" } as const) },
);

const story: fc.Arbitrary<Story> = fc.record({
  guests: fc.array(
    fc.record({
      steps: fc.array(step, { minLength: 1, maxLength: 7 }),
      leave: fc.constantFrom("when-answered", "when-answered", "end", "destroy", "reset", "stay", "stall"),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  stages: fc.array(fc.constantFrom("now", "now", "now", "turn", "later", "refuse"), { minLength: 1, maxLength: 9 }),
  drainAfterMs: fc.option(fc.integer({ min: 0, max: 30 }), { nil: null, freq: 3 }),
  maxConnections: fc.constantFrom(1, 2, 64),
});

test("in whatever order guests, upstream, stages and drain do what they do, nothing throws, hangs, leaks or is mixed up", async () => {
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(story, async (told) => {
      for (const outcome of await live(told)) seen.add(outcome);
    }),
    { numRuns: 200, seed: 51_207, endOnFailure: true },
  );
  // The stories are only worth something when they reach what they are about.
  expect([...seen].toSorted()).toEqual(
    expect.arrayContaining([
      "completed",
      "denied custody_unavailable",
      "denied request_malformed",
      "denied request_timeout",
      "denied upstream_protocol",
      "denied upstream_timeout",
      "denied upstream_unreachable",
      "edge_aborted",
      "guest_aborted",
      "upstream_aborted",
    ]),
  );
}, 600_000);

/** Lives one story through and looks at what is left of it. @returns how its exchanges ended */
async function live(told: Story): Promise<string[]> {
  const upstream = await startMoodyUpstream();
  const joined = await startJoined({
    maxConnections: told.maxConnections,
    leaf,
    timeouts: {
      requestHeadMs: 60,
      guestIdleMs: 60,
      bodyIdleMs: 60,
      halfCloseMs: 40,
      tlsHelloMs: 60,
      tunnelIdleMs: 60,
      tunnelLifeMs: 200,
      drainMs: 40,
      upstreamConnectMs: 100,
      upstreamHeadMs: 50,
      upstreamKeepaliveMs: 30,
    },
    ports: stagesOf(told.stages),
  });
  const guests = told.guests.map((guest, i) => new LiveGuest(joined.port, upstream.port, i, guest));
  try {
    const lived = Promise.all(guests.map((guest) => guest.live()));
    if (told.drainAfterMs !== null) {
      await pause(told.drainAfterMs);
      await joined.drain();
    }
    await lived;
    await joined.drain();
    await eventually(() => joined.open() === 0 && joined.sweep.size === 0, "the end of every connection");
    await eventually(() => joined.listener.openConnections === 0, "the end of every guest's connection");
    await eventually(() => guests.every(({ closed }) => closed), "the end of every guest");
    await eventually(() => upstream.open() === 0, "the upstream's end of every connection");
    look(joined, upstream, guests);
  } finally {
    for (const guest of guests) guest.destroy();
    await joined.stop();
    await upstream.close();
  }
  return joined.records.map(({ outcome, denial }) => (denial === null ? outcome : `${outcome} ${denial}`));
}

function look(joined: Joined, upstream: MoodyUpstream, guests: readonly LiveGuest[]): void {
  expect(joined.faults).toEqual([]);
  const ids = joined.records.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).toHaveLength(joined.opened());
  // A step that is not in a table ends as `internal`.
  for (const record of joined.records) expect([record.denial, record.detail]).not.toContain("internal");
  expect(upstream.strays).toEqual([]);
  for (const head of upstream.heads) expect(head).toContain(`\r\nAuthorization: Bearer ${TOKEN}\r\n`);
  for (const guest of guests) guest.look();
}

function stagesOf(stages: Story["stages"]): NonNullable<JoinedOptions["ports"]> {
  let next = 0;
  const stage = <T>(value: () => T, code: "custody_unavailable" | "name_unresolved"): T | Promise<T> => {
    switch (stages[next++ % stages.length]) {
      case "turn":
        return new Promise((resolve) => setImmediate(() => resolve(value())));
      case "later":
        return pause(6).then(value);
      case "refuse":
        throw new Denial(code);
      default:
        return value();
    }
  };
  return (line) => ({
    leases: {
      reject: (lease) => line.leases.reject(lease),
      fetchAhead: (permit) =>
        stage(() => line.leases.fetchAhead(permit), "custody_unavailable") as ReturnType<typeof line.leases.fetchAhead>,
      lease: (permit) =>
        stage(() => line.leases.lease(permit), "custody_unavailable") as ReturnType<typeof line.leases.lease>,
    },
    addresses: {
      pin: (permit) =>
        stage(() => line.addresses.pin(permit), "name_unresolved") as ReturnType<typeof line.addresses.pin>,
    },
  });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A guest that does its steps one after the other, whatever comes back. */
class LiveGuest {
  readonly #guest: Guest;
  readonly #name: string;
  readonly #authority: string;
  /** Below any TLS. */
  readonly #transport: Socket;
  #socket: Socket;
  readonly #asked: { readonly method: string; readonly id: string }[] = [];
  #text = "";
  #isTunnelled = false;
  closed = false;

  constructor(port: number, upstreamPort: number, index: number, guest: Guest) {
    this.#guest = guest;
    this.#name = `g${index}`;
    this.#authority = `api.test:${upstreamPort}`;
    this.#transport = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    this.#socket = this.#transport;
    this.#listenTo(this.#socket);
  }

  async live(): Promise<void> {
    for (const each of this.#guest.steps) {
      if (this.#socket.destroyed || this.#socket.writableEnded) break;
      await this.#do(each);
    }
    const { leave } = this.#guest;
    if (leave === "when-answered") await this.#answered();
    if (leave === "stall") this.#send("GET http://api.te");
    if (leave === "stay" || leave === "stall") await pause(120);
    this.#socket.resume();
    if (leave === "reset") reset(this.#transport);
    else if (leave === "destroy") this.#socket.destroy();
    else if (leave !== "stay" && leave !== "stall") this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** The answers belong to the requests, in their order. */
  look(): void {
    const answers = answersIn(
      this.#text,
      this.#asked.map(({ method }) => method),
    );
    expect(this.#text).not.toContain("stolen");
    expect(this.#text).not.toContain(TOKEN);
    answers.forEach(({ fields, body, status }, i) => {
      const id = fields.get("x-id");
      if (id === undefined) return;
      expect(id).toBe(this.#asked[i]?.id);
      if (body !== "" && status !== 101) expect(`${id};`.startsWith(body.slice(0, id.length + 1))).toBe(true);
    });
  }

  async #answered(): Promise<void> {
    this.#socket.resume();
    for (let i = 0; i < 25 && !this.closed; i++) {
      if (
        answersIn(
          this.#text,
          this.#asked.map(({ method }) => method),
        ).length >= this.#asked.length
      )
        return;
      await pause(10);
    }
  }

  async #do(each: Step): Promise<void> {
    switch (each.do) {
      case "ask":
        return this.#ask(each.ask, each.pieces);
      case "connect":
      case "connect-tls":
        return this.#connect(each.do === "connect-tls");
      case "garbage":
        this.#asked.push({ method: "", id: "" });
        return this.#send("GET /\n\n");
      case "half-head":
        this.#asked.push({ method: "", id: "" });
        return this.#send("GET http://api.te");
      case "half-body":
        this.#asked.push({ method: "POST", id: `${this.#name}x` });
        return this.#send(`${this.#head("POST", "plain", `${this.#name}x`, "1.1")}Content-Length: 100000\r\n\r\n12345`);
      case "raw":
        return this.#send("\0raw");
      case "wait":
        return pause(each.ms);
      case "turn":
        return new Promise((resolve) => setImmediate(resolve));
      case "stop-reading":
        this.#socket.pause();
        return;
      case "read-on":
        this.#socket.resume();
    }
  }

  async #connect(isTls: boolean): Promise<void> {
    this.#asked.push({ method: "CONNECT", id: "" });
    this.#send(`CONNECT ${this.#authority} HTTP/1.1\r\n\r\n`);
    for (let i = 0; i < 5 && !this.#text.endsWith("Established\r\n\r\n"); i++) await pause(4);
    if (!this.#text.endsWith("Established\r\n\r\n")) return;
    // A tunnel is a connection of its own: its answers are counted from here.
    this.#text = "";
    this.#asked.length = 0;
    this.#isTunnelled = true;
    if (!isTls) return;
    const plain = this.#socket;
    plain.removeAllListeners("data");
    plain.removeAllListeners("end");
    const secured = connectTls({ socket: plain, servername: "api.test", rejectUnauthorized: false });
    await new Promise<void>((resolve) => {
      secured.once("secureConnect", resolve);
      secured.once("close", resolve);
      this.#listenTo(secured);
    });
  }

  #listenTo(socket: Socket): void {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#text += chunk.toString("latin1");
    });
    socket.on("error", () => undefined);
    socket.on("end", () => socket.end());
    socket.on("close", () => {
      this.closed = true;
    });
  }

  async #ask({ method, mood, body, version, close, upgrade }: Ask, pieces: number): Promise<void> {
    const id = `${this.#name}n${this.#asked.length}`;
    this.#asked.push({ method, id });
    const bodied = method === "POST" || method === "PUT";
    const framing = !bodied || (version === "1.0" && body !== "none") ? "none" : body;
    const content = {
      none: ["", ""],
      length: ["Content-Length: 5\r\n", "hello"],
      expect: ["Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"],
      chunked: ["Transfer-Encoding: chunked\r\n", "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"],
      "bad-chunk": ["Transfer-Encoding: chunked\r\n", "3\r\nhel\r\nnonsense\r\n\r\n"],
    }[framing];
    const fields = `${close ? "Connection: close\r\n" : upgrade ? "Connection: Upgrade\r\nUpgrade: websocket\r\n" : ""}${content[0]}`;
    const text = `${this.#head(method, mood, id, version)}${fields}\r\n${content[1]}`;
    const size = Math.ceil(text.length / pieces);
    for (let at = 0; at < text.length; at += size) {
      this.#send(text.slice(at, at + size));
      if (pieces > 1) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #head(method: string, mood: Mood, id: string, version: string): string {
    const front = this.#isTunnelled ? "" : `http://${this.#authority}`;
    return `${method} ${front}/${mood}/${id} HTTP/${version}\r\nHost: ${this.#authority}\r\nAuthorization: Bearer of-the-guest\r\n`;
  }

  #send(text: string): void {
    if (this.#socket.writable) this.#socket.write(text, "latin1");
  }
}
