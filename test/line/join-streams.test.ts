import { Duplex } from "node:stream";
import { expect, test, vi } from "vitest";
import type { ExchangeRecord } from "../../src/core/record.ts";
import { openRecord } from "../../src/guest/record.ts";
import { joinStreams } from "../../src/line/join-streams.ts";

/** Two joined streams lose nothing that one of them had sent before it closed, and never wait for one that is gone. */

/** A connection whose other side the test plays: `says` what comes from it, reads `heard` at its own pace. */
class Connection extends Duplex {
  readonly heard: string[] = [];
  #held: (() => void) | null = null;
  #reads: boolean;

  constructor(reads = true) {
    super({ allowHalfOpen: true, writableHighWaterMark: 1024 });
    this.#reads = reads;
  }

  override _read(): void {
    // Bytes come when the test says so.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const take = (): void => {
      this.heard.push(chunk.toString());
      done();
    };
    if (this.#reads) take();
    else this.#held = take;
  }

  readOn(): void {
    this.#reads = true;
    this.#held?.();
    this.#held = null;
  }

  says(text: string): void {
    this.push(text);
  }

  hangsUp(): void {
    this.push(null);
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}

const newRecord = (): ExchangeRecord =>
  openRecord({ monotonicMs: () => 0, wallMs: () => 0 }, "id", "tunnel", "guests", "127.0.0.1");

test("a slow guest is handed all of it, although both sides of the upstream have ended long ago", async () => {
  const [guest, upstream] = [new Connection(false), new Connection()];
  const joined = joinStreams(guest, upstream, newRecord());
  guest.hangsUp();
  await turns(5);
  upstream.says("long tail");
  upstream.hangsUp();
  await turns(5);
  expect(upstream.destroyed).toBe(true);
  expect(guest.destroyed).toBe(false);
  guest.readOn();
  await joined;
  expect(guest.heard).toEqual(["long tail"]);
  expect(guest.writableFinished).toBe(true);
  expect(guest.destroyed).toBe(true);
});

test("an upstream that resets after it had said everything takes nothing of that back", async () => {
  const [guest, upstream] = [new Connection(false), new Connection()];
  const joined = joinStreams(guest, upstream, newRecord());
  upstream.says("long tail");
  upstream.hangsUp();
  await turns(5);
  upstream.destroy(new Error("reset"));
  await turns(5);
  guest.readOn();
  await joined;
  expect(guest.heard).toEqual(["long tail"]);
  expect([guest.writableFinished, guest.destroyed]).toEqual([true, true]);
});

test("one that breaks in the middle ends the other at once", async () => {
  const [guest, upstream] = [new Connection(false), new Connection()];
  const joined = joinStreams(guest, upstream, newRecord());
  upstream.says("half of");
  await turns(5);
  upstream.destroy(new Error("reset"));
  await joined;
  expect(guest.destroyed).toBe(true);
  expect(guest.writableFinished).toBe(false);
});

test("half-close passes on, and the other direction goes on", async () => {
  const [guest, upstream] = [new Connection(), new Connection()];
  const record = newRecord();
  const joined = joinStreams(guest, upstream, record);
  guest.says("ask");
  guest.hangsUp();
  await turns(5);
  expect(upstream.heard).toEqual(["ask"]);
  expect(upstream.writableFinished).toBe(true);
  upstream.says("answer");
  await turns(5);
  expect(guest.heard).toEqual(["answer"]);
  upstream.hangsUp();
  await joined;
  expect(record).toMatchObject({ bytesFromGuest: 3, bytesToGuest: 6 });
});

test.each([
  ["the guest", "is gone", true],
  ["the guest", "closed its sending side", false],
  ["the upstream", "is gone", true],
  ["the upstream", "closed its sending side", false],
] as const)("%s %s before they are joined", async (who, _what, isGone) => {
  const [guest, upstream] = [new Connection(), new Connection()];
  const early = who === "the guest" ? guest : upstream;
  const other = who === "the guest" ? upstream : guest;
  if (isGone) early.destroy();
  else {
    early.hangsUp();
    early.read(0);
  }
  await turns(5);
  const joined = joinStreams(guest, upstream, newRecord());
  await turns(5);
  if (isGone) expect(other.destroyed).toBe(true);
  else expect(other.writableFinished).toBe(true);
  other.hangsUp();
  await joined;
  expect([guest.destroyed, upstream.destroyed]).toEqual([true, true]);
});

test("an upstream that takes nothing more does not hold on to what a guest had left for it", async () => {
  const [guest, upstream] = [new Connection(), new Connection(false)];
  const joined = joinStreams(guest, upstream, newRecord(), 5);
  guest.says("last words");
  guest.hangsUp();
  await turns(5);
  guest.destroy();
  await joined;
  expect(upstream.destroyed).toBe(true);
  expect(upstream.heard).toEqual([]);
});

test.each(["the guest", "the upstream"])(
  "no time is kept of streams that are over, whichever goes first: %s",
  async (first) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const [guest, upstream] = [new Connection(), new Connection()];
      const joined = joinStreams(guest, upstream, newRecord());
      const [one, other] = first === "the guest" ? [guest, upstream] : [upstream, guest];
      one.hangsUp();
      other.hangsUp();
      await turns(5);
      one.destroy();
      await joined;
      await turns(5);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  },
);
