import { afterEach, expect, test } from "vitest";
import { type CustodyPort, LeaseRefusal } from "../../src/core/custody.ts";
import type { Lease } from "../../src/core/exchange.ts";
import { LeaseGone } from "../../src/core/lease-denials.ts";
import { LeaseKeeper } from "../../src/custody/keeper.ts";
import { ManualClock } from "./support/clocks.ts";
import { denialCodeOf, denialOf } from "./support/denials.ts";
import { FakeCustody, gate } from "./support/fake-custody.ts";
import { permitOf } from "./support/permits.ts";

/** Signatures that the keeper asks custody for: bounded in time and number, and what it makes of a custody that says no. */

const keepers: LeaseKeeper[] = [];
afterEach(() => {
  for (const keeper of keepers.splice(0)) keeper.close();
});

function keep(custody: CustodyPort): { keeper: LeaseKeeper; clock: ManualClock } {
  const clock = new ManualClock();
  const custodies = new Map([["main", custody]]);
  const keeper = new LeaseKeeper({ custodies, clock, random: () => 0.5, tickMs: 0, breakerFailures: 3 });
  keepers.push(keeper);
  return { keeper, clock };
}

const SIGNATURE = "a".repeat(86);
const leaseOf = async (keeper: LeaseKeeper, session = "s1"): Promise<Lease> => keeper.lease(permitOf({ session }));

test("the custody of the lease is asked, also once the lease was replaced", async () => {
  const custody = new FakeCustody();
  const { keeper } = keep(custody);
  const lease = await leaseOf(keeper);
  expect(await keeper.sign(lease, "a.b")).toBe(SIGNATURE);
  keeper.reject(lease);
  expect(await keeper.sign(lease, "c.d")).toBe(SIGNATURE);
  expect(custody.signed).toEqual([
    { leaseId: lease.id, input: "a.b" },
    { leaseId: lease.id, input: "c.d" },
  ]);
});

test("a lease that custody does not know is gone: the next exchange gets another one", async () => {
  const custody = new FakeCustody();
  const { keeper } = keep(custody);
  const lease = await leaseOf(keeper);
  custody.signs = () => Promise.reject(new LeaseRefusal("lease_unknown"));
  await expect(keeper.sign(lease, "a.b")).rejects.toBeInstanceOf(LeaseGone);
  const next = await leaseOf(keeper);
  expect(next).not.toBe(lease);
  // A late answer about the one before says nothing of this one.
  await expect(keeper.sign(lease, "a.b")).rejects.toBeInstanceOf(LeaseGone);
  expect(await leaseOf(keeper)).toBe(next);
  expect(custody.requests.map(({ purpose }) => purpose)).toEqual(["request", "request"]);
});

test("what custody will not sign is refused, and the lease stays", async () => {
  const custody = new FakeCustody();
  const { keeper } = keep(custody);
  const lease = await leaseOf(keeper);
  for (const [reason, code] of [
    ["input_unfit", "lease_denied"],
    ["overloaded", "custody_unavailable"],
  ] as const) {
    custody.signs = () => Promise.reject(new LeaseRefusal(reason));
    expect(await denialCodeOf(() => keeper.sign(lease, "a.b"))).toBe(code);
  }
  expect(await leaseOf(keeper)).toBe(lease);
  expect(keeper.state()[0]?.breakerOpen).toBe(false);
});

test("a custody that does not answer is cut, and after a few of them not asked for a while", async () => {
  const custody = new FakeCustody(20);
  const { keeper, clock } = keep(custody);
  const lease = await leaseOf(keeper);
  custody.signs = () => new Promise(() => undefined);
  for (let i = 0; i < 3; i++)
    expect((await denialOf(() => keeper.sign(lease, "a.b"))).detail).toBe("no answer within 20 ms");
  custody.signs = async () => SIGNATURE;
  expect((await denialOf(() => keeper.sign(lease, "a.b"))).detail).toBe('custody "main" is down');
  expect(custody.signed).toHaveLength(3);
  clock.advance(1_000);
  expect(await keeper.sign(lease, "a.b")).toBe(SIGNATURE);
});

test("what a custody throws that it must not is no answer", async () => {
  const custody = new FakeCustody();
  const { keeper } = keep(custody);
  const lease = await leaseOf(keeper);
  custody.signs = () => Promise.reject(new TypeError("x"));
  expect(await denialCodeOf(() => keeper.sign(lease, "a.b"))).toBe("custody_unavailable");
});

test("one session waits for so many and no more, and takes nothing from another", async () => {
  const custody = new FakeCustody(60_000);
  const { keeper } = keep(custody);
  const [mine, theirs] = [await leaseOf(keeper, "mine"), await leaseOf(keeper, "theirs")];
  const door = gate();
  custody.signs = async () => {
    await door.opened;
    return SIGNATURE;
  };
  const waiting = Array.from({ length: 128 }, () => keeper.sign(mine, "a.b"));
  expect((await denialOf(() => keeper.sign(mine, "a.b"))).detail).toBe("too many signatures are waited for");
  const other = keeper.sign(theirs, "a.b");
  door.open();
  expect(new Set(await Promise.all([...waiting, other]))).toEqual(new Set([SIGNATURE]));
  expect(await keeper.sign(mine, "a.b")).toBe(SIGNATURE);
});

test("a custody that was reconfigured signs for none of the leases before, and a keeper that closes waits for none", async () => {
  const custody = new FakeCustody(60_000);
  const { keeper } = keep(custody);
  const lease = await leaseOf(keeper);
  custody.signs = () => new Promise(() => undefined);
  const waiting = denialCodeOf(() => keeper.sign(lease, "a.b"));
  keeper.useCustodies(new Map());
  await expect(keeper.sign(lease, "a.b")).rejects.toBeInstanceOf(LeaseGone);
  keeper.close();
  expect(await waiting).toBe("custody_unavailable");
});
