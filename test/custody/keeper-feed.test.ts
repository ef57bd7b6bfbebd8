import { afterEach, describe, expect, test } from "vitest";
import { LeaseRefusal } from "../../src/core/custody.ts";
import type { Lease } from "../../src/core/exchange.ts";
import { isZeroed } from "../../src/core/material.ts";
import { EmbeddedCustody } from "../../src/custody/embedded.ts";
import { LeaseKeeper } from "../../src/custody/keeper.ts";
import type { KeeperOptions } from "../../src/custody/keeper-options.ts";
import { ManualClock, realClock } from "./support/clocks.ts";
import { denialOf } from "./support/denials.ts";
import { FakeCustody, gate } from "./support/fake-custody.ts";
import { entryOf, issuing } from "./support/issuing.ts";
import { destinationOf, grantOf, permitOf } from "./support/permits.ts";

/** What the keeper does with what custody revokes, and what it tells custody of its leases. */

let keeper: LeaseKeeper;
afterEach(() => keeper.close());

function start(custody: FakeCustody, options: Partial<KeeperOptions> = {}) {
  const clock = new ManualClock();
  const revoked: number[] = [];
  keeper = new LeaseKeeper({
    custodies: new Map([["main", custody]]),
    clock,
    random: () => 0.5,
    tickMs: 0,
    follow: true,
    events: { revoked: (_custody, leases) => revoked.push(leases) },
    ...options,
  });
  return { clock, revoked };
}

const following = () => expect.poll(() => keeper.state()[0]?.feed).toBe("following");
const materialOf = (custody: FakeCustody, i: number) => custody.grants[i]?.material ?? fail();
function fail(): never {
  throw new Error("there is no such grant");
}

describe("what custody revokes", () => {
  test.each([
    ["lease", (lease: Lease) => lease.id, null],
    ["credential", () => "key", null],
    ["session", () => "s1", null],
    ["session", () => "s1", "acme"],
    ["tenant", () => "acme", null],
    ["all", () => "", null],
  ] as const)("%s: is dropped and zeroed at once, and custody is asked anew", async (scope, valueOf, tenant) => {
    const custody = new FakeCustody();
    const { revoked } = start(custody);
    await following();
    const lease = await keeper.lease(permitOf());
    custody.revoke({ scope, value: valueOf(lease), tenant });
    await expect.poll(() => revoked).toEqual([1]);
    expect([lease.isRevoked, isZeroed(materialOf(custody, 0)), keeper.size]).toEqual([true, true, 0]);
    expect(() => lease.materialFor(permitOf(), 0)).toThrow();
    custody.behave = () => {
      throw new LeaseRefusal("session_revoked");
    };
    expect(await denialOf(() => keeper.lease(permitOf()))).toMatchObject({ code: "lease_denied" });
    // Custody knows already.
    expect(custody.released).toEqual([]);
  });

  test.each([
    ["lease", "other", null],
    ["credential", "other", null],
    ["session", "s2", null],
    ["session", "s1", "globex"],
    ["tenant", "globex", null],
  ] as const)("%s %s %s leaves what it does not reach", async (scope, value, tenant) => {
    const custody = new FakeCustody();
    const { revoked } = start(custody);
    await following();
    const lease = await keeper.lease(permitOf());
    custody.revoke({ scope, value, tenant });
    await expect.poll(() => revoked).toEqual([0]);
    expect(await keeper.lease(permitOf())).toBe(lease);
  });

  test("leaves leases of another custody alone", async () => {
    const [custody, other] = [new FakeCustody(), new FakeCustody()];
    const custodies = new Map([
      ["main", custody],
      ["other", other],
    ]);
    const { revoked } = start(custody, { custodies });
    await following();
    const lease = await keeper.lease(permitOf({ custody: "other" }));
    custody.revoke({ scope: "all", value: "", tenant: null });
    await expect.poll(() => revoked).toEqual([0]);
    expect(await keeper.lease(permitOf({ custody: "other" }))).toBe(lease);
  });

  test("reaches a lease that was replaced a moment ago, and one that is on its way", async () => {
    const custody = new FakeCustody();
    const { revoked } = start(custody);
    await following();
    const replaced = await keeper.lease(permitOf());
    keeper.reject(replaced);
    const door = gate();
    custody.behave = async (request) => {
      await door.opened;
      return grantOf(request);
    };
    const asked = denialOf(() => keeper.lease(permitOf()));
    await expect.poll(() => custody.requests.length).toBe(2);
    custody.revoke({ scope: "session", value: "s1", tenant: null });
    expect(await asked).toMatchObject({ code: "lease_denied" });
    door.open();
    expect(replaced.isRevoked).toBe(true);
    expect(revoked).toEqual([0]);
    await expect.poll(() => isZeroed(materialOf(custody, 1))).toBe(true);
  });

  test("by its id reaches a lease whose answer comes after the news", async () => {
    const custody = new FakeCustody();
    start(custody);
    await following();
    const door = gate();
    custody.behave = async (request) => {
      await door.opened;
      return grantOf(request, { leaseId: "late" });
    };
    const asked = denialOf(() => keeper.lease(permitOf()));
    await expect.poll(() => custody.requests.length).toBe(1);
    custody.revoke({ scope: "lease", value: "late", tenant: null });
    await expect.poll(() => custody.asked.length).toBe(3);
    door.open();
    expect(await asked).toMatchObject({ code: "lease_denied" });
    expect(isZeroed(materialOf(custody, 0))).toBe(true);
  });

  test("and lifts changes nothing at the edge", async () => {
    const custody = new FakeCustody();
    start(custody);
    await following();
    const lease = await keeper.lease(permitOf());
    custody.revoke({ scope: "all", value: "", tenant: null }, "lifted");
    await expect.poll(() => custody.asked.length).toBe(3);
    expect(await keeper.lease(permitOf())).toBe(lease);
  });
});

describe("the feed", () => {
  test("that cannot tell what was missed: everything of that custody goes", async () => {
    const custody = new FakeCustody();
    const { revoked } = start(custody);
    await following();
    const lease = await keeper.lease(permitOf());
    custody.answer({ reset: true, changes: [] });
    await expect.poll(() => revoked).toEqual([1]);
    expect([lease.isRevoked, isZeroed(materialOf(custody, 0))]).toEqual([true, true]);
    expect((await keeper.lease(permitOf())).isRevoked).toBe(false);
  });

  test("that cannot tell while a lease is on its way: that one is thrown away, and another one is asked for", async () => {
    const custody = new FakeCustody();
    const { revoked } = start(custody);
    await following();
    const door = gate();
    custody.behave = async (request) => {
      await door.opened;
      return grantOf(request, { leaseId: `lease-${custody.requests.length}` });
    };
    const asked = Promise.all([1, 2].map(async () => await keeper.lease(permitOf())));
    await expect.poll(() => custody.requests.length).toBe(1);
    custody.answer({ reset: true, changes: [] });
    await expect.poll(() => revoked).toEqual([0]);
    door.open();
    expect((await asked).map(({ id }) => id)).toEqual(["lease-2", "lease-2"]);
    expect(custody.requests).toHaveLength(2);
    expect([isZeroed(materialOf(custody, 0)), isZeroed(materialOf(custody, 1))]).toEqual([true, false]);
  });

  test("that cannot tell while a call hangs: nobody goes on waiting for that", async () => {
    const custody = new FakeCustody();
    const { revoked } = start(custody);
    await following();
    const never = gate();
    custody.behave = async (request) => {
      if (custody.requests.length === 1) await never.opened;
      return grantOf(request, { leaseId: `lease-${custody.requests.length}` });
    };
    const earlier = Promise.resolve(keeper.lease(permitOf()));
    await expect.poll(() => custody.requests.length).toBe(1);
    custody.answer({ reset: true, changes: [] });
    await expect.poll(() => revoked).toEqual([0]);
    expect((await keeper.lease(permitOf())).id).toBe("lease-2");
    expect((await earlier).id).toBe("lease-2");
  });

  test("that cannot tell again before anything was leased: whoever waits is refused", async () => {
    const custody = new FakeCustody();
    const { revoked } = start(custody);
    await following();
    const doors = [gate(), gate()];
    custody.behave = async (request) => {
      await doors[custody.requests.length - 1]?.opened;
      return grantOf(request);
    };
    const asked = denialOf(() => keeper.lease(permitOf()));
    for (const round of [1, 2]) {
      await expect.poll(() => [custody.requests.length, custody.asked.length]).toEqual([round, round + 1]);
      custody.answer({ reset: true, changes: [] });
      await expect.poll(() => revoked.length).toBe(round);
      doors[round - 1]?.open();
    }
    expect(await asked).toMatchObject({ code: "custody_unavailable" });
    await expect.poll(() => isZeroed(materialOf(custody, 1))).toBe(true);
  });

  test("is taken up where it stopped", async () => {
    const custody = new FakeCustody();
    start(custody);
    await following();
    custody.revoke({ scope: "session", value: "s9", tenant: null });
    await expect.poll(() => custody.asked).toEqual([null, "e.0", "e.1"]);
    const honest = custody.tell;
    custody.tell = () => {
      throw new Error("gone");
    };
    custody.revoke({ scope: "session", value: "s9", tenant: null });
    await expect.poll(() => keeper.state()[0]?.feed).toBe("lost");
    await expect.poll(() => custody.asked.length).toBeGreaterThanOrEqual(5);
    custody.tell = honest;
    const failed = custody.asked.length;
    await expect.poll(() => custody.asked.length).toBeGreaterThan(failed);
    expect(custody.asked.slice(3).every((cursor) => cursor === "e.2")).toBe(true);
  });

  test("that is lost ends no lease, lengthens none, and does not stop leasing", async () => {
    const custody = new FakeCustody();
    custody.tell = () => {
      throw new Error("gone");
    };
    const { clock } = start(custody);
    await expect.poll(() => keeper.state()[0]?.feed).toBe("lost");
    const lease = await keeper.lease(permitOf());
    expect(lease.isLive(clock.monotonicMs())).toBe(true);
    clock.setWall(-3_600_000);
    clock.advance(900_000);
    expect(lease.isLive(clock.monotonicMs())).toBe(false);
    const next = await keeper.lease(permitOf());
    clock.setWall(7_200_000);
    expect(next.isLive(clock.monotonicMs())).toBe(true);
  });

  test("that answers at once without news is not asked without a pause", async () => {
    const custody = new FakeCustody();
    custody.tell = () => ({ cursor: "e.0", reset: true, changes: [] });
    start(custody);
    await following();
    await new Promise((done) => setTimeout(done, 200));
    expect(custody.asked.length).toBeLessThan(5);
  });

  test("what is held when it first answers is asked for anew, and goes on meanwhile", async () => {
    const custody = new FakeCustody();
    const door = gate();
    const honest = custody.tell;
    custody.tell = async (after, signal) => {
      if (after === null) await door.opened;
      return honest(after, signal);
    };
    start(custody);
    const early = await keeper.lease(permitOf());
    door.open();
    await following();
    expect(await keeper.lease(permitOf())).toBe(early);
    await expect.poll(() => custody.requests.map(({ purpose }) => purpose)).toEqual(["request", "refresh"]);
  });

  test("ends with the keeper, and with its custody", async () => {
    const [custody, next] = [new FakeCustody(), new FakeCustody()];
    start(custody);
    await following();
    keeper.useCustodies(new Map([["main", next]]));
    await following();
    custody.revoke({ scope: "all", value: "", tenant: null });
    await new Promise((done) => setTimeout(done, 20));
    expect(custody.asked).toEqual([null, "e.0"]);
    keeper.close();
    next.revoke({ scope: "all", value: "", tenant: null });
    await new Promise((done) => setTimeout(done, 20));
    expect(next.asked).toEqual([null, "e.0"]);
  });

  test("of an embedded custody is followed in the process", async () => {
    const { issuer } = issuing({ clock: realClock });
    const custody = new EmbeddedCustody(issuer);
    keeper = new LeaseKeeper({ custodies: new Map([["main", custody]]), clock: realClock, random: () => 0.5 });
    await following();
    const lease = await keeper.lease(permitOf());
    await issuer.operations.revoke("operator", { scope: "session", value: "s1", tenant: "acme" }, "test");
    await expect.poll(() => lease.isRevoked).toBe(true);
    expect(await denialOf(() => keeper.lease(permitOf()))).toMatchObject({ reason: "session_revoked" });
    custody.close();
  });
});

describe("leases are given back", () => {
  const ids = (custody: FakeCustody) => custody.released.map(({ leaseId }) => leaseId);

  test("when their session is dropped", async () => {
    const custody = new FakeCustody();
    start(custody);
    const lease = await keeper.lease(permitOf());
    await keeper.lease(permitOf({ session: "s2" }));
    keeper.dropSession("s1", "acme");
    await expect.poll(() => custody.released).toEqual([{ leaseId: lease.id, session: "s1", tenant: "acme" }]);
  });

  test("when they were evicted, once no exchange can hold them", async () => {
    const custody = new FakeCustody();
    const { clock } = start(custody, { maxEntries: 1, graceMs: 1_000 });
    const evicted = await keeper.lease(permitOf());
    await keeper.lease(permitOf({ session: "s2" }));
    keeper.tick();
    expect([evicted.isRevoked, ids(custody)]).toEqual([false, []]);
    clock.advance(1_000);
    keeper.tick();
    await expect.poll(() => ids(custody)).toEqual([evicted.id]);
    expect(evicted.isRevoked).toBe(true);
  });

  test("when the edge shuts down, all of them, and it does not wait for a custody that hangs", async () => {
    const custody = new FakeCustody();
    start(custody);
    const sessions = ["s1", "s2", "s3"];
    const leases = await Promise.all(sessions.map(async (session) => keeper.lease(permitOf({ session }))));
    await keeper.handBack(10_000);
    expect(ids(custody).sort()).toEqual(leases.map(({ id }) => id).sort());
    expect(leases.every(({ isRevoked }) => isRevoked)).toBe(true);
    expect(await denialOf(() => keeper.lease(permitOf()))).toMatchObject({ code: "custody_unavailable" });

    const hung = new FakeCustody();
    hung.release = () => new Promise(() => undefined);
    start(hung);
    await keeper.lease(permitOf());
    await keeper.handBack(10);
  });

  test("not when they have run out, or were replaced: custody ends them by itself", async () => {
    const custody = new FakeCustody();
    const { clock } = start(custody);
    await keeper.lease(permitOf());
    clock.advance(900_000);
    keeper.dropSession("s1", "acme");
    keeper.reject(await keeper.lease(permitOf()));
    clock.advance(60_000);
    keeper.tick();
    await keeper.handBack(1_000);
    expect(ids(custody)).toEqual([]);
  });
});

describe("leases that are bound to methods", () => {
  const bound = (custody: FakeCustody) => {
    custody.behave = (request) => grantOf(request, { binding: { type: "method_class", value: request.methodClass } });
  };
  const read = permitOf({ methodClass: "read" });
  const write = permitOf({ methodClass: "write" });

  test("are used for those alone, one slot a class", async () => {
    const custody = new FakeCustody();
    bound(custody);
    const { clock } = start(custody);
    const forReading = await keeper.lease(read);
    const forWriting = await keeper.lease(write);
    expect([await keeper.lease(read), await keeper.lease(write)]).toEqual([forReading, forWriting]);
    expect(custody.requests.map(({ methodClass }) => methodClass)).toEqual(["read", "write"]);
    const nowMs = clock.monotonicMs();
    expect(() => forReading.materialFor(write, nowMs)).toThrow("lease_unusable");
    expect(() => forWriting.materialFor(read, nowMs)).toThrow("lease_unusable");
    forReading.materialFor(read, nowMs);
    expect(keeper.size).toBe(2);
  });

  test("that are not bound serve both from one slot", async () => {
    const custody = new FakeCustody();
    start(custody);
    expect(await keeper.lease(read)).toBe(await keeper.lease(write));
    expect([custody.requests.length, keeper.size]).toEqual([1, 1]);
  });

  test("exchanges of both kinds that wait for one fetch each end up with their own", async () => {
    const custody = new FakeCustody();
    bound(custody);
    start(custody);
    const [a, b] = await Promise.all([keeper.lease(read), keeper.lease(write)]);
    expect([a.methodClass, b.methodClass]).toEqual(["read", "write"]);
  });

  test("an exchange that waits for another kind's fetch asks for itself when that is pending", async () => {
    const custody = new FakeCustody();
    custody.behave = (request) => {
      if (request.methodClass === "read") throw new LeaseRefusal("approval_pending");
      return grantOf(request, { binding: { type: "method_class", value: "write" } });
    };
    start(custody);
    const [first, second] = [denialOf(() => keeper.lease(read)), keeper.lease(write)];
    expect(await first).toMatchObject({ code: "approval_pending" });
    expect((await second).methodClass).toBe("write");
  });

  test.each([
    ["another class", { type: "method_class", value: "write" }],
    ["a class that is none", { type: "method_class", value: "any" }],
    ["another kind of binding", { type: "path", value: "/v1" }],
  ])("bound to %s than was asked for: refused", async (_what, binding) => {
    const custody = new FakeCustody();
    custody.behave = (request) => grantOf(request, { binding });
    start(custody);
    expect(await denialOf(() => keeper.lease(read))).toMatchObject({ code: "lease_unusable" });
    expect(isZeroed(materialOf(custody, 0))).toBe(true);
  });

  test("are not asked for ahead, nor refreshed behind an operator's back", async () => {
    const custody = new FakeCustody();
    bound(custody);
    const { clock } = start(custody);
    const lease = await keeper.lease(read);
    clock.advance(850_000);
    expect(await keeper.lease(read)).toBe(lease);
    await keeper.fetchAhead(permitOf({ session: "s2" }));
    expect(custody.requests).toHaveLength(1);
  });

  test("a CONNECT asks ahead as such, and the exchange behind it then asks for itself", async () => {
    const custody = new FakeCustody();
    custody.behave = (request) => {
      if (request.purpose !== "request") throw new LeaseRefusal("approval_pending");
      return grantOf(request, { binding: { type: "method_class", value: request.methodClass } });
    };
    start(custody);
    const ahead = denialOf(() => keeper.fetchAhead(write));
    const asked = keeper.lease(write);
    expect(await ahead).toMatchObject({ code: "approval_pending" });
    expect((await asked).methodClass).toBe("write");
    expect(custody.requests.map(({ purpose }) => purpose)).toEqual(["ahead", "request"]);
  });

  test("a credential that stops being approved goes back to one slot", async () => {
    const custody = new FakeCustody();
    bound(custody);
    const { clock } = start(custody);
    await keeper.lease(read);
    custody.behave = (request) => grantOf(request);
    clock.advance(900_000);
    keeper.tick();
    const lease = await keeper.lease(read);
    expect(await keeper.lease(write)).not.toBe(lease);
    expect(await keeper.lease(permitOf({ methodClass: "write", destination: destinationOf("b") }))).toBe(
      await keeper.lease(permitOf({ methodClass: "read", destination: destinationOf("b") })),
    );
  });

  test("of one exchange's approval is told as pending, and nothing is kept of it", async () => {
    const { issuer } = issuing({ clock: realClock, entries: [entryOf({ approval: true })] });
    const custody = new EmbeddedCustody(issuer);
    keeper = new LeaseKeeper({
      custodies: new Map([["main", custody]]),
      clock: realClock,
      random: () => 0.5,
      tickMs: 0,
    });
    expect(await denialOf(() => keeper.lease(read))).toMatchObject({ code: "approval_pending" });
    expect(keeper.size).toBe(0);
    await issuer.operations.decide("operator", issuer.approvals.list()[0]?.id ?? "", true);
    expect((await keeper.lease(read)).methodClass).toBe("read");
    expect(await denialOf(() => keeper.lease(write))).toMatchObject({ code: "approval_pending" });
    custody.close();
  });
});
