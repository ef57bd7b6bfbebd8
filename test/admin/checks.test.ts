import { describe, expect, test } from "vitest";
import {
  auditCheck,
  caCheck,
  custodyCheck,
  drainingCheck,
  policyCheck,
  type PolicyFacts,
} from "../../src/admin/checks.ts";

const DAY_MS = 86_400_000;
const now = 1_800_000_000_000;
const clock = { monotonicMs: () => 0, wallMs: () => now };

describe("readiness checks", () => {
  test.each([
    [null, { ok: true }],
    [now + 15 * DAY_MS, { ok: true, detail: "expires 2027-01-30T08:00:00.000Z" }],
    [now + 13.5 * DAY_MS, { ok: true, degraded: true }],
    [now + 1, { ok: true, degraded: true }],
    [now, { ok: false }],
    [now - DAY_MS, { ok: false }],
  ])("CA that ends at %s", (notAfterMs, expected) => {
    expect(caCheck(() => notAfterMs, clock).check()).toMatchObject(expected);
  });

  test("policy: none, in force, in force after a rejected reload", () => {
    let facts: PolicyFacts = { version: null, loadedWallMs: null, destinations: 0, problem: null };
    const check = policyCheck(() => facts, clock);
    expect(check.check()).toEqual({ ok: false, detail: "no policy was loaded" });
    facts = { version: "abc", loadedWallMs: now - 61_000, destinations: 3, problem: null };
    expect(check.check()).toEqual({ ok: true, detail: "version abc, 3 destinations, loaded 61 s ago" });
    facts = { ...facts, problem: { text: `line 3: bad\n${"x".repeat(9999)}`, wallMs: now } };
    expect(check.check()).toEqual({
      ok: true,
      degraded: true,
      detail:
        "version abc, 3 destinations, loaded 61 s ago; the reload at 2027-01-15T08:00:00.000Z was rejected: line 3: bad",
    });
  });

  test("custody that does not answer degrades, it does not end", () => {
    const up = { up: true, problem: null };
    expect(custodyCheck("main", () => up)).toMatchObject({ name: "custody/main" });
    expect(custodyCheck("main", () => up).check()).toEqual({ ok: true, detail: "answers" });
    expect(custodyCheck("main", () => ({ ...up, feed: "following" })).check()).toEqual({ ok: true, detail: "answers" });
    expect(custodyCheck("main", () => ({ ...up, feed: "lost" })).check()).toMatchObject({ ok: true, degraded: true });
    expect(custodyCheck("main", () => ({ ...up, up: false })).check()).toMatchObject({ ok: true, degraded: true });
    expect(custodyCheck("main", () => ({ ...up, problem: "its reload was rejected" })).check()).toEqual({
      ok: true,
      degraded: true,
      detail: "answers; its reload was rejected",
    });
  });

  test("draining is unready, audit says for itself", () => {
    expect(drainingCheck(() => true).check()).toMatchObject({ ok: false });
    expect(drainingCheck(() => false).check()).toMatchObject({ ok: true });
    expect(auditCheck(() => ({ ok: false, detail: "cannot write" })).check()).toMatchObject({ ok: false });
  });
});
