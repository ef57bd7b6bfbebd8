import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { GuestCounts } from "../../src/guest/guest-counts.ts";

function add(counts: GuestCounts, ...guests: string[]): EventEmitter[] {
  return guests.map((guest) => {
    const counted = new EventEmitter();
    counts.add(guest, counted);
    return counted;
  });
}

test("an IPv6 guest is its /64, an IPv4 guest its address in either spelling", () => {
  const counts = new GuestCounts(2);
  add(counts, "2001:db8::1", "2001:db8::2", "192.0.2.7", "::ffff:192.0.2.7");
  const full = ["2001:db8::3", "2001:db8:0:1::1", "192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"].map((guest) =>
    counts.isFull(guest),
  );
  expect(full).toEqual([true, false, true, true, false]);
});

test("what has closed is counted no more, whoever of the /64 it was", () => {
  const counts = new GuestCounts(2);
  const [first, second] = add(counts, "2001:db8::1", "2001:db8::2");
  first?.emit("close");
  expect(counts.isFull("2001:db8::9")).toBe(false);
  add(counts, "2001:db8::3");
  expect(counts.isFull("2001:db8::9")).toBe(true);
  second?.emit("close");
  expect(counts.isFull("2001:db8::9")).toBe(false);
});

test("all together are bounded as well", () => {
  const counts = new GuestCounts(2, 3);
  const [first] = add(counts, "2001:db8:0:1::1", "2001:db8:0:2::1", "192.0.2.7");
  expect(counts.isFull("192.0.2.8")).toBe(true);
  first?.emit("close");
  expect(counts.isFull("192.0.2.8")).toBe(false);
});
