import { beforeEach, describe, expect, test } from "vitest";
import { Authority } from "../../src/core/authority.ts";
import { DeadlineSweep } from "../../src/core/deadline.ts";
import { Denial } from "../../src/core/denial.ts";
import { Permit, Session } from "../../src/core/exchange.ts";
import { LeaseGone } from "../../src/core/lease-denials.ts";
import { Secret } from "../../src/core/secret.ts";
import type { ClientIdentity } from "../../src/core/wire.ts";
import { type PresentedPool, PresentedPools } from "../../src/upstream/presented-pools.ts";
import { DESTINATION } from "../line/support/joined.ts";

/** How many pools with certificates there may be, and which of them leave. */

const MOST = 8;
const MOST_PER_SESSION = 4;

let nowMs = 0;
let sweep: DeadlineSweep;
let pools: PresentedPools;
let forgotten: string[];

beforeEach(() => {
  nowMs = 1_000;
  sweep = new DeadlineSweep();
  forgotten = [];
  pools = new PresentedPools({ monotonicMs: () => nowMs, wallMs: () => 0 }, sweep, MOST, MOST_PER_SESSION);
});

class FakePool implements PresentedPool {
  isIdle = true;
  gone: Denial | null = null;

  retire(gone: Denial): void {
    this.gone = gone;
  }
}

function permitFor(session: string, host: string, tenant = "t"): Permit {
  const authority = Authority.parse(`${host}:443`, null) as Authority;
  const claims = { id: session, tenant, workspace: "w", subject: "u", roles: [] };
  return Permit.grant(Session.prove(claims), authority, DESTINATION, "allow[0]");
}

interface Shape {
  readonly busy?: boolean;
  readonly grantedAtMs?: number;
  readonly untilMs?: number;
  readonly tenant?: string;
}

let keys = 0;

function opened(session: string, host: string, shape: Shape = {}): FakePool {
  const { busy = false, grantedAtMs = keys, untilMs = Number.POSITIVE_INFINITY, tenant } = shape;
  const permit = permitFor(session, host, tenant);
  pools.makeRoom(permit);
  const pool = new FakePool();
  pool.isIdle = !busy;
  const identity: ClientIdentity = {
    key: `k${++keys}`,
    chain: "",
    privateKey: Secret.of("x"),
    grantedAtMs,
    isLive: (now) => now < untilMs,
  };
  pools.add(pool, identity, permit, () => forgotten.push(`${session} ${host}`));
  return pool;
}

describe("a session", () => {
  test("that walks through names has its least recently used idle pool retired, and others keep theirs", () => {
    const other = opened("other", "a.test");
    const mine = ["a", "b", "c", "d"].map((name) => opened("mine", `${name}.test`));
    pools.touch(mine[0] as FakePool);
    opened("mine", "e.test");
    expect(mine.map(({ gone }) => gone !== null)).toEqual([false, true, false, false]);
    expect(forgotten).toEqual(["mine b.test"]);
    expect(other.gone).toBeNull();
  });

  test("whose pools are all in use is refused one more", () => {
    for (const name of ["a", "b", "c", "d"]) opened("mine", `${name}.test`, { busy: true });
    expect(() => opened("mine", "e.test")).toThrow(expect.objectContaining({ code: "upstream_unreachable" }));
    expect(() => opened("other", "e.test")).not.toThrow();
  });

  test("that is replaced in the middle of exchanges still counts for them", () => {
    for (const at of [1, 2, 3, 4]) opened("mine", "a.test", { busy: true, grantedAtMs: at });
    expect(forgotten).toHaveLength(3);
    expect(() => opened("mine", "a.test", { grantedAtMs: 5 })).toThrow(Denial);
  });

  test("of the same id in another tenant is another one", () => {
    const mine = opened("s", "a.test", { tenant: "t" });
    const theirs = opened("s", "a.test", { tenant: "u" });
    expect([mine.gone, theirs.gone]).toEqual([null, null]);
  });
});

test("all sessions together are bounded, too", () => {
  const all = ["a", "b", "c", "d"].flatMap((session) => [opened(session, "a.test"), opened(session, "b.test")]);
  opened("e", "a.test");
  expect(all.map(({ gone }) => gone !== null)).toEqual([true, ...Array.from({ length: 7 }, () => false)]);
});

test("a lease that is granted later retires the pool of the one before it; an earlier one is retired itself", () => {
  const second = opened("s", "a.test", { grantedAtMs: 2 });
  const third = opened("s", "a.test", { grantedAtMs: 3 });
  const first = opened("s", "a.test", { grantedAtMs: 1 });
  expect([first.gone, second.gone, third.gone]).toEqual([expect.any(LeaseGone), expect.any(LeaseGone), null]);
});

test("leases that died are found by the sweep, which ends with the last pool", () => {
  const pool = opened("s", "a.test", { untilMs: 1_500 });
  const busy = opened("s", "b.test", { untilMs: 1_500, busy: true });
  expect(sweep.size).toBe(1);
  nowMs = 3_000;
  sweep.sweep(nowMs);
  expect([pool.gone, busy.gone]).toEqual([expect.any(LeaseGone), expect.any(LeaseGone)]);
  expect(sweep.size).toBe(1);
  pools.left(busy);
  expect(sweep.size).toBe(0);
});
