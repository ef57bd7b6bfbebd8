import { describe, expect, test } from "vitest";
import { LeaseRefusal } from "../../src/core/custody.ts";
import { Approvals } from "../../src/custody/approvals.ts";
import { ManualClock } from "./support/clocks.ts";
import { requestOf } from "./support/permits.ts";

function start(bounds = { session: 2, tenant: 4, all: 6 }) {
  const clock = new ManualClock();
  let ids = 0;
  const opened: string[] = [];
  const approvals = new Approvals(
    clock,
    () => `a${ids++}`,
    bounds,
    ({ id }) => opened.push(id),
  );
  const ask = (change: Parameters<typeof requestOf>[0] = {}, caller = "edge-1") => {
    try {
      return approvals.take(caller, requestOf(change));
    } catch (thrown) {
      if (thrown instanceof LeaseRefusal) return thrown.reason;
      throw thrown;
    }
  };
  return { clock, approvals, ask, opened };
}

const MINUTES = 60_000;

describe("an approval", () => {
  test("is asked for, given, used once", () => {
    const { approvals, ask, opened } = start();
    expect(ask()).toBe("approval_pending");
    expect(ask()).toBe("approval_pending");
    expect(approvals.list()).toHaveLength(1);
    // Told once, however often it is asked for.
    expect(opened).toEqual(["a0"]);
    approvals.decide("a0", true);
    const taken = ask();
    expect(taken).toHaveProperty("spend");
    // A second lease while the first is being issued.
    expect(ask()).toBe("approval_pending");
    (taken as { spend(): void }).spend();
    expect(approvals.list()).toEqual([]);
    expect(ask()).toBe("approval_pending");
    expect(approvals.list()).toMatchObject([{ id: "a1", state: "pending" }]);
  });

  test("that was taken for a lease that was not issued is there for the next", () => {
    const { approvals, ask } = start();
    ask();
    approvals.decide("a0", true);
    (ask() as { giveBack(): void }).giveBack();
    expect(ask()).toHaveProperty("spend");
  });

  test.each([
    [{ session: { ...requestOf().session, id: "s2" } }],
    [{ session: { ...requestOf().session, tenant: "globex" } }],
    [{ credential: "other" }],
    [{ destination: "other" }],
    [{ host: "other.example.com" }],
    [{ port: 8443 }],
    [{ methodClass: "write" as const }],
    [{ session: { ...requestOf().session, workspace: "w2" } }],
    [{ session: { ...requestOf().session, subject: "admin" } }],
    [{ narrow: { scopes: ["read", "write"] } }],
  ])("is for nothing else: %o", (change) => {
    const { approvals, ask } = start({ session: 8, tenant: 8, all: 8 });
    ask();
    approvals.decide("a0", true);
    expect(ask(change)).toBe("approval_pending");
    expect(ask({}, "edge-2")).toBe("approval_pending");
    expect(ask()).toHaveProperty("spend");
  });

  test("of a narrowed lease is for what it was narrowed to, however that is spelled", () => {
    const { approvals, ask } = start();
    ask({ narrow: { scopes: ["b", "a"] } });
    expect(approvals.list()).toMatchObject([{ narrow: { scopes: ["b", "a"] } }]);
    approvals.decide("a0", true);
    expect(ask()).toBe("approval_pending");
    expect(ask({ narrow: { scopes: ["a", "b"] } })).toHaveProperty("spend");
  });

  test("that somebody is deciding is nobody else's to decide, nor over before it is", () => {
    const { clock, approvals, ask } = start();
    ask();
    expect(approvals.hold("a0")).toMatchObject({ id: "a0" });
    expect(approvals.hold("a0")).toBeUndefined();
    clock.advance(11 * MINUTES);
    approvals.letGo("a0");
    expect(approvals.size).toBe(0);
    ask();
    expect(approvals.hold("a1")).toMatchObject({ id: "a1" });
    approvals.letGo("a1");
    expect(approvals.hold("a1")).toMatchObject({ id: "a1" });
  });

  test("waits ten minutes, lives ten minutes from the yes, and a no is remembered as long, whatever the wall clock says", () => {
    const { clock, approvals, ask } = start();
    ask();
    clock.setWall(-60 * MINUTES);
    clock.advance(10 * MINUTES - 1);
    approvals.decide("a0", true);
    clock.setWall(120 * MINUTES);
    clock.advance(10 * MINUTES - 1);
    (ask() as { giveBack(): void }).giveBack();
    clock.advance(1);
    expect(ask()).toBe("approval_pending");
    approvals.decide("a1", false);
    expect(ask()).toBe("approval_denied");
    clock.advance(10 * MINUTES - 1);
    expect(ask()).toBe("approval_denied");
    clock.advance(1);
    expect(ask()).toBe("approval_pending");
    clock.advance(10 * MINUTES);
    expect(approvals.size).toBe(0);
  });

  test("is neither opened nor used by what nobody waits for", () => {
    const { approvals, ask } = start();
    expect(ask({ purpose: "ahead" })).toBe("approval_pending");
    expect(ask({ purpose: "refresh" })).toBe("approval_pending");
    expect(approvals.size).toBe(0);
    ask();
    approvals.decide("a0", true);
    expect(ask({ purpose: "refresh" })).toBe("approval_pending");
    expect(ask({ purpose: "rejected" })).toHaveProperty("spend");
  });

  test("is decided once", () => {
    const { approvals, ask } = start();
    ask();
    approvals.decide("a0", false);
    expect(() => approvals.decide("a0", true)).toThrow(LeaseRefusal);
    expect(() => approvals.decide("a9", true)).toThrow(LeaseRefusal);
  });

  test("waits in bounded numbers: of a session, of a tenant, in all", () => {
    const { approvals, ask } = start();
    const from = (id: string, tenant: string, credential: string) =>
      ask({ session: { ...requestOf().session, id, tenant }, credential });
    expect([from("s1", "t1", "a"), from("s1", "t1", "b"), from("s1", "t1", "c")]).toEqual([
      "approval_pending",
      "approval_pending",
      "overloaded",
    ]);
    expect([from("s2", "t1", "a"), from("s3", "t1", "a"), from("s4", "t1", "a")]).toEqual([
      "approval_pending",
      "approval_pending",
      "overloaded",
    ]);
    expect([from("s1", "t2", "a"), from("s1", "t3", "a"), from("s1", "t4", "a")]).toEqual([
      "approval_pending",
      "approval_pending",
      "overloaded",
    ]);
    expect(approvals.size).toBe(6);
  });
});
