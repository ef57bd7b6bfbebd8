import { EventEmitter } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { FloodHold } from "../../src/guest/flood-hold.ts";

/** Guests whose connections were ended for floods come back one by one. */

const LONGEST_MS = 2000;
let nowMs = 0;
const holdOf = (longestMs = LONGEST_MS): FloodHold => new FloodHold(longestMs, () => nowMs);

function blame(hold: FloodHold, guest: string, times: number): void {
  for (let i = 0; i < times; i++) hold.blame(guest, 1);
}

describe("turns", () => {
  test("nobody waits who is not blamed, nor after a first offence", () => {
    const hold = holdOf();
    hold.blame("a", 1);
    expect([hold.turn("a"), hold.turn("a"), hold.turn("b")]).toEqual([0, 0, 0]);
  });

  test("are 100 ms apart after the second offence, and twice as far with each further one", () => {
    const hold = holdOf();
    blame(hold, "a", 2);
    expect([hold.turn("a"), hold.turn("a"), hold.turn("a")]).toEqual([100, 200, 300]);
    hold.blame("a", 1);
    // Behind the turns that were given before.
    expect([hold.turn("a"), hold.turn("a")]).toEqual([400, 600]);
    expect(hold.turn("b")).toBe(0);
  });

  test("come of what is only half known after four times as many", () => {
    const hold = holdOf();
    for (let i = 0; i < 7; i++) hold.blame("a", 0.25);
    expect([hold.turn("a"), hold.turn("a")]).toEqual([0, 0]);
    hold.blame("a", 0.25);
    expect([hold.turn("a"), hold.turn("a")]).toEqual([100, 200]);
    hold.blame("a", 0.25);
    expect([hold.turn("a"), hold.turn("a")]).toEqual([300, 400]);
  });

  test("are never further apart than the longest time", () => {
    const hold = holdOf();
    blame(hold, "a", 2000);
    expect([hold.turn("a"), hold.turn("a")]).toEqual([LONGEST_MS, 2 * LONGEST_MS]);
    expect(new FloodHold(50, () => 0).turn("a")).toBe(0);
  });

  test("are those of a whole /64: nobody has a single address of IPv6", () => {
    const hold = holdOf();
    hold.blame("2001:db8::1", 1);
    hold.blame("2001:db8::2", 1);
    expect([hold.turn("2001:db8::3"), hold.turn("2001:db8:0:1::3")]).toEqual([100, 0]);
  });

  test("come sooner for who waited on its own account", () => {
    const hold = holdOf();
    blame(hold, "a", 2);
    nowMs += 100;
    expect(hold.turn("a")).toBe(0);
    nowMs += 30;
    expect(hold.turn("a")).toBe(70);
  });

  test("are refused when they would be ten seconds away, and given again later", () => {
    const hold = holdOf();
    blame(hold, "a", 30);
    const waits = Array.from({ length: 5 }, () => hold.turn("a"));
    expect(waits).toEqual([2000, 4000, 6000, 8000, 10_000]);
    expect(() => hold.turn("a")).toThrow(new Denial("guest_held_off"));
    expect(hold.turn("b")).toBe(0);
    nowMs += 2000;
    expect(hold.turn("a")).toBe(10_000);
  });

  test("are for the asking a minute after the last offence", () => {
    const hold = holdOf();
    blame(hold, "a", 10);
    nowMs += 60_000;
    hold.turn("a");
    expect(hold.turn("a")).toBe(LONGEST_MS);
    nowMs += 1;
    expect([hold.turn("a"), hold.turn("a")]).toEqual([0, 0]);
    hold.blame("a", 1);
    expect([hold.turn("a"), hold.turn("a")]).toEqual([0, 0]);
  });

  test("are for the asking where nobody is to be held", () => {
    const hold = holdOf(0);
    blame(hold, "a", 10);
    expect(hold.turn("a")).toBe(0);
  });

  test("of a guest are forgotten when there are too many others", () => {
    const hold = holdOf();
    blame(hold, "first", 2);
    blame(hold, "second", 2);
    blame(hold, "first", 1);
    for (let i = 0; i < 9999; i++) hold.blame(`guest-${i}`, 1);
    expect([hold.turn("second"), hold.turn("first")]).toEqual([0, 200]);
  });
});

describe("a wait", () => {
  test("is over after its time", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      let isOver = false;
      const waiting = holdOf()
        .wait(50, new EventEmitter())
        .then(() => (isOver = true));
      await vi.advanceTimersByTimeAsync(49);
      expect(isOver).toBe(false);
      await vi.advanceTimersByTimeAsync(1);
      await waiting;
    } finally {
      vi.useRealTimers();
    }
  });

  test.each(["end", "close"])("is over with the %s of its guest, and leaves nothing at it", async (event) => {
    const guest = new EventEmitter();
    const waiting = holdOf().wait(3_600_000, guest);
    guest.emit(event);
    await waiting;
    expect(guest.eventNames()).toEqual([]);
  });

  test("is over when the edge drains", async () => {
    const hold = holdOf();
    const waits = Promise.all([hold.wait(3_600_000, new EventEmitter()), hold.wait(3_600_000, new EventEmitter())]);
    hold.drain();
    expect(await waits).toEqual([undefined, undefined]);
  });
});
