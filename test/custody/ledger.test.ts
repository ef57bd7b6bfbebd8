import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RevocationTarget } from "../../src/core/revocation.ts";
import { reaches } from "../../src/core/revocation.ts";
import { DueWheel, type Due } from "../../src/custody/due-wheel.ts";
import { Ledger, type LedgerTerms } from "../../src/custody/ledger.ts";
import { ManualClock } from "./support/clocks.ts";

const all: RevocationTarget = { scope: "all", value: "", tenant: null };

function termsOf(id: string, change: Partial<LedgerTerms> & { readonly tenant?: string; readonly of?: string } = {}) {
  const { tenant = "acme", of = "s1", ...rest } = change;
  return {
    id,
    caller: "edge-1",
    session: { id: of, tenant, workspace: "w", subject: "agent" },
    credential: "key",
    destination: "api",
    host: "api.example.com",
    port: 443,
    methodClass: null,
    resourceRef: "00",
    ttlMs: 60_000,
    longestMs: 900_000,
    item: {},
    release: null,
    ...rest,
  } satisfies LedgerTerms;
}

describe("a lease in the ledger", () => {
  test("ends at its time on the monotonic clock, is told as expired for a while, and is then forgotten", () => {
    const clock = new ManualClock();
    const ledger = new Ledger(clock);
    const lease = ledger.add(termsOf("a"));
    clock.setWall(-3_600_000);
    clock.advance(59_999);
    expect(ledger.isLive(lease)).toBe(true);
    clock.advance(1);
    expect(ledger.isLive(lease)).toBe(false);
    clock.advance(20_000);
    expect(ledger.find("a")).toBe(lease);
    clock.advance(20_000);
    expect(ledger.find("a")).toBeUndefined();
    expect(ledger.held).toEqual({ leases: 0, tenants: 0, credentials: 0, places: 0 });
  });

  test.each<[string, (ledger: Ledger, clock: ManualClock) => void]>([
    ["it is released", (ledger) => ledger.release(ledger.find("a") as never)],
    ["it is revoked", (ledger) => void ledger.revoke(all)],
    ["it expires", (_ledger, clock) => clock.advance(61_000)],
  ])("gives back what was minted for it, once, when %s", (_how, end) => {
    const clock = new ManualClock();
    const ledger = new Ledger(clock);
    let released = 0;
    ledger.add(termsOf("a", { release: async () => void released++ }));
    ledger.tick();
    expect(released).toBe(0);
    end(ledger, clock);
    for (let i = 0; i < 5; i++) {
      ledger.tick();
      ledger.revoke(all);
      clock.advance(60_000);
    }
    expect(released).toBe(1);
  });

  test("is prolonged by renewals, never past the latest end, and comes due at its new time alone", () => {
    const clock = new ManualClock();
    const ledger = new Ledger(clock);
    const lease = ledger.add(termsOf("a", { ttlMs: 60_000, longestMs: 100_000 }));
    clock.advance(50_000);
    expect(ledger.renew(lease, 60_000)).toBe(50_000);
    expect(ledger.renewable(lease, 60_000)).toBe(50_000);
    clock.advance(49_000);
    expect(ledger.isLive(lease)).toBe(true);
    expect(ledger.renew(lease, 60_000)).toBe(1_000);
    clock.advance(1_000);
    expect(ledger.isLive(lease)).toBe(false);
  });

  test("a shorter renewal does not shorten it", () => {
    const ledger = new Ledger(new ManualClock());
    const lease = ledger.add(termsOf("a", { ttlMs: 60_000 }));
    expect(ledger.renew(lease, 10)).toBe(60_000);
  });
});

test("an hour of leases leaves nothing behind", () => {
  const clock = new ManualClock();
  const ledger = new Ledger(clock);
  let most = 0;
  for (let second = 0; second < 3_600; second++) {
    clock.advance(1_000);
    for (let i = 0; i < 3; i++)
      ledger.add(
        termsOf(`${second}-${i}`, { of: `s${second}`, tenant: `t${second % 50}`, host: `h${second}.example.com` }),
      );
    most = Math.max(most, ledger.held.leases);
  }
  expect(most).toBeLessThanOrEqual(3 * (60 + 30 + 3));
  clock.advance(120_000);
  ledger.tick();
  expect(ledger.held).toEqual({ leases: 0, tenants: 0, credentials: 0, places: 0 });
});

/** What the ledger holds, as a plain list that is searched whole. */
test("says the same as a list that is searched from end to end", () => {
  const names = fc.constantFrom("a", "b", "c");
  const targets = fc.oneof(
    fc.constant(all),
    fc.record({ scope: fc.constantFrom("tenant", "credential"), value: names, tenant: fc.constant(null) }),
    fc.record({ scope: fc.constant("session"), value: names, tenant: fc.option(names) }),
    fc.record({ scope: fc.constant("lease"), value: fc.nat(40).map(String), tenant: fc.constant(null) }),
  ) as fc.Arbitrary<RevocationTarget>;
  const steps = fc.oneof(
    fc.record({
      do: fc.constant("add" as const),
      tenant: names,
      of: names,
      credential: names,
      ttlMs: fc.integer({ min: 1, max: 9_000 }),
    }),
    fc.record({ do: fc.constant("revoke" as const), target: targets }),
    fc.record({ do: fc.constant("release" as const), id: fc.nat(40).map(String) }),
    fc.record({
      do: fc.constant("renew" as const),
      id: fc.nat(40).map(String),
      ms: fc.integer({ min: 1, max: 9_000 }),
    }),
    fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 6_000 }) }),
  );
  fc.assert(
    fc.property(fc.array(steps, { maxLength: 60 }), (script) => {
      const clock = new ManualClock();
      const ledger = new Ledger(clock);
      const list: { id: string; tenant: string; session: string; credential: string; endsMs: number; over: boolean }[] =
        [];
      const live = () => list.filter(({ over, endsMs }) => !over && clock.monotonicMs() < endsMs);
      let ids = 0;
      for (const step of script) {
        if (step.do === "add") {
          const id = String(ids++);
          ledger.add(termsOf(id, { ...step, longestMs: 20_000 }));
          const endsMs = clock.monotonicMs() + step.ttlMs;
          list.push({ id, tenant: step.tenant, session: step.of, credential: step.credential, endsMs, over: false });
        } else if (step.do === "revoke") {
          const hit = live().filter((one) => reaches(step.target, { ...one, lease: one.id }));
          for (const one of hit) one.over = true;
          // The ledger sweeps by the second: what has expired within this one may be counted.
          expect(ledger.revoke(step.target)).toBeGreaterThanOrEqual(hit.length);
        } else if (step.do === "release") {
          const lease = ledger.find(step.id);
          if (lease !== undefined && ledger.isLive(lease)) ledger.release(lease);
          for (const one of list) if (one.id === step.id) one.over = true;
        } else if (step.do === "renew") {
          const lease = ledger.find(step.id);
          const one = live().find(({ id }) => id === step.id);
          if (lease !== undefined && one !== undefined) one.endsMs = clock.monotonicMs() + ledger.renew(lease, step.ms);
        } else clock.advance(step.ms);
        expect([...ledger.live(all)].map(({ id }) => id).sort()).toEqual(
          live()
            .map(({ id }) => id)
            .sort(),
        );
      }
    }),
    { numRuns: 300 },
  );
});

test("nothing on the wheel is due early, nothing is lost, whatever is added, moved and removed", () => {
  interface Item extends Due<Item> {
    readonly name: number;
    atMs: number;
  }
  const step = fc.oneof(
    fc.record({ add: fc.nat(8), inMs: fc.nat(30_000) }),
    fc.record({ remove: fc.nat(8) }),
    fc.record({ waitMs: fc.nat(50_000) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (script) => {
      const wheel = new DueWheel<Item>();
      const items = Array.from({ length: 9 }, (_, name): Item => ({
        name,
        atMs: -1,
        nextDue: null,
        previousDue: null,
        due: -1,
      }));
      let nowMs = 0;
      for (const one of script) {
        if ("add" in one) {
          const item = items[one.add] as Item;
          item.atMs = nowMs + one.inMs;
          wheel.add(item, item.atMs);
        } else if ("remove" in one) {
          const item = items[one.remove] as Item;
          item.atMs = -1;
          wheel.remove(item);
        } else nowMs += one.waitMs;
        for (const item of wheel.due(nowMs)) {
          expect(item.atMs).toBeLessThanOrEqual(nowMs);
          expect(item.atMs).toBeGreaterThanOrEqual(0);
          item.atMs = -1;
        }
        for (const { atMs } of items) if (atMs >= 0) expect(nowMs - atMs).toBeLessThan(1_000);
      }
    }),
  );
});
