import { describe, expect, test } from "vitest";
import type { IssueEvent } from "../../src/core/custody.ts";
import { Secret } from "../../src/core/secret.ts";
import { issueAudit, privilegedMembers } from "../../src/audit/privileged.ts";
import { openTrail, records, scratch } from "./fixture.ts";

const event: IssueEvent = {
  type: "lease_issued",
  wallMs: 1_800_000_000_000,
  caller: "embedded",
  tenant: "acme",
  session: "session-of-acme",
  subject: "robot",
  credential: "openai",
  destination: "openai",
  host: "api.openai.com",
  port: 443,
  purpose: "request",
  leaseId: "l-1",
  resourceRef: "ref",
  ttlMs: 900_000,
  reason: null,
};

describe("privileged events", () => {
  test("a lease is on disk before custody's port answers, with the session's mark instead of its id", async () => {
    const { trail, file } = await openTrail(scratch());
    await issueAudit(trail).record(event);
    const [, issued] = records(file);
    expect(issued).toMatchObject({
      type: "lease_issued",
      tenant: "acme",
      session: trail.sessionMark("acme", "session-of-acme"),
      lease: "l-1",
      ttl_ms: 900_000,
      resource_ref: "ref",
    });
    expect(JSON.stringify(issued)).not.toContain("session-of-acme");
    await issueAudit(trail).record({
      ...event,
      type: "lease_refused",
      leaseId: "",
      resourceRef: "",
      ttlMs: 0,
      reason: "scope_not_allowed",
    });
    const refused = records(file)[2];
    expect(refused).toMatchObject({ type: "lease_refused", reason: "scope_not_allowed" });
    expect(Object.keys(refused ?? {})).not.toContain("lease");
  });

  test("what an operator did is on disk with the session's mark instead of its id", async () => {
    const { trail, file } = await openTrail(scratch());
    const session = { tenant: "acme", id: "session-of-acme" };
    await issueAudit(trail).operated({
      type: "revocation_made",
      caller: "operator",
      session,
      facts: { scope: "session", tenant: "acme", revocation: "r1", reason: "found in a log" },
    });
    const made = records(file)[1];
    expect(made).toMatchObject({
      type: "revocation_made",
      caller: "operator",
      session: trail.sessionMark("acme", "session-of-acme"),
      scope: "session",
      revocation: "r1",
      reason: "found in a log",
    });
    expect(JSON.stringify(made)).not.toContain("session-of-acme");
  });

  test("long and odd strings are bounded and escaped", () => {
    const text = privilegedMembers({ type: "policy_rejected", facts: { cause: `é"\n${"x".repeat(5000)}` } }, 0);
    const members = JSON.parse(`{${text}}`) as Record<string, unknown>;
    expect(members["cause"]).toBe(`é"\n${"x".repeat(2045)}`);
    expect(members["cause_cut"]).toBe(5003);
    expect(text).toMatch(/^[ -~]*$/);
  });

  test.each(["seq", "hash", "Bad Name", "", 'a"b', "x".repeat(41)])("no fact may be named %j", (name) => {
    expect(() => privilegedMembers({ type: "edge_started", facts: { [name]: 1 } }, 0)).toThrow(/no fact may be named/);
  });

  test("what is not a number is a mistake, and a secret does not print", () => {
    expect(() => privilegedMembers({ type: "edge_started", facts: { n: Number.NaN } }, 0)).toThrow(TypeError);
    const facts = { token: Secret.of("hunter2").toString() };
    expect(privilegedMembers({ type: "edge_started", facts }, 0)).toContain("[secret]");
  });
});
