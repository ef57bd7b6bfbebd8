import { describe, expect, test } from "vitest";
import { createAttachPort } from "../../src/attach/attach.ts";
import type { AttachmentSpec } from "../../src/core/destination.ts";
import {
  codeOf,
  destination,
  headOf,
  leaseOf,
  linesOf,
  NOW_MS,
  permitFor,
  token,
  userpass,
  TOOLS,
  attachNow,
} from "./exchange.ts";

/** Which lease may be attached, and what is remembered with it. */

const SPECS: readonly AttachmentSpec[] = [{ as: "bearer" }, { as: "query", name: "key" }];
const to = destination(SPECS);
const permit = permitFor(to);

describe("a lease that may not be used leaves the head as it is", () => {
  const live = () => leaseOf(token("tok-0123456789"));
  const revoked = () => {
    const lease = live();
    lease.revoke();
    return lease;
  };
  const cases = [
    ["expired", live, permit, NOW_MS + 60_000],
    ["revoked", revoked, permit, NOW_MS],
    ["of another session", () => leaseOf(token("t"), { session: "s2" }), permit, NOW_MS],
    ["of another tenant", () => leaseOf(token("t"), { tenant: "t2" }), permit, NOW_MS],
    ["for another host", () => leaseOf(token("t"), { host: "evil.example.com" }), permit, NOW_MS],
    ["for another port", () => leaseOf(token("t"), { port: 8443 }), permit, NOW_MS],
    ["of another credential", () => leaseOf(token("t"), {}, "other"), permit, NOW_MS],
    ["for a permit of report mode", live, permitFor(to, "path_not_allowed"), NOW_MS],
    ["for a destination that attaches nothing", live, permitFor(destination([])), NOW_MS],
  ] as const;

  test.each(cases)("%s", (_, lease, against, nowMs) => {
    const attach = createAttachPort(TOOLS);
    const head = headOf([["Accept", "*/*"]]);
    expect(codeOf(() => attachNow(attach, against, lease(), head, nowMs))).toBe("lease_unusable");
    expect(linesOf(head)).toEqual(["Accept: */*"]);
    expect(head.target).toBe("/v1/items");
  });

  test("what was rendered before does not outlive it", () => {
    const attach = createAttachPort(TOOLS);
    const lease = live();
    attachNow(attach, permit, lease, headOf([]), NOW_MS);
    expect(codeOf(() => attachNow(attach, permit, lease, headOf([]), NOW_MS + 60_000))).toBe("lease_unusable");
    lease.revoke();
    expect(codeOf(() => attachNow(attach, permit, lease, headOf([]), NOW_MS))).toBe("lease_unusable");
  });

  test("zeroed material is gone, rendered before or not", () => {
    const material = token("tok-0123456789");
    const lease = leaseOf(material);
    const attach = createAttachPort(TOOLS);
    attachNow(attach, permit, lease, headOf([]), NOW_MS);
    if (material.kind === "token") material.token.zero();
    expect(codeOf(() => attachNow(attach, permit, lease, headOf([]), NOW_MS))).toBe("lease_unusable");
    expect(codeOf(() => attachNow(createAttachPort(TOOLS), permit, lease, headOf([]), NOW_MS))).toBe("lease_unusable");
  });
});

describe("what is remembered", () => {
  test("one frozen list for one lease and destination, longest first", () => {
    const attach = createAttachPort(TOOLS);
    const lease = leaseOf(token("tok 0123456789"));
    const first = attachNow(attach, permit, lease, headOf([]), NOW_MS);
    const second = attachNow(attach, permitFor(to), lease, headOf([]), NOW_MS);
    expect(second).toBe(first);
    expect(second.values).toBe(first.values);
    expect(Object.isFrozen(first.values)).toBe(true);
    expect(first.values).toEqual([
      "Bearer tok 0123456789",
      "key=tok%200123456789",
      "tok%200123456789",
      "tok 0123456789",
    ]);
  });

  test("another lease or another destination has its own", () => {
    const attach = createAttachPort(TOOLS);
    const lease = leaseOf(token("tok-0123456789"));
    const first = attachNow(attach, permit, lease, headOf([]), NOW_MS);
    const fresh = attachNow(attach, permit, leaseOf(token("tok-fresh-01234")), headOf([]), NOW_MS);
    expect(fresh.values).toContain("tok-fresh-01234");
    expect(fresh.values).not.toContain("tok-0123456789");
    const other = permitFor(destination([{ as: "header", name: "x-key", format: "k={token}" }]));
    const head = headOf([]);
    expect(attachNow(attach, other, lease, head, NOW_MS).values).toEqual(["k=tok-0123456789", "tok-0123456789"]);
    expect(linesOf(head)).toEqual(["x-key: k=tok-0123456789"]);
    expect(attachNow(attach, permit, lease, headOf([]), NOW_MS)).toBe(first);
  });

  test("of basic: the pair, its base64 and the password", () => {
    const attach = createAttachPort(TOOLS);
    const basic = permitFor(destination([{ as: "basic", username: null }]));
    const { values } = attachNow(attach, basic, leaseOf(userpass("robot", "pass-01234")), headOf([]), NOW_MS);
    const encoded = Buffer.from("robot:pass-01234").toString("base64");
    expect(values).toEqual([`Basic ${encoded}`, encoded, "robot:pass-01234", "pass-01234"]);
  });

  test("that a cookie was attached", () => {
    const attach = createAttachPort(TOOLS);
    const cookie = permitFor(destination([{ as: "cookie", name: "session" }]));
    expect(attachNow(attach, cookie, leaseOf(token("tok-01234")), headOf([]), NOW_MS).cookieAttached).toBe(true);
    expect(attachNow(attach, permit, leaseOf(token("tok-01234")), headOf([]), NOW_MS).cookieAttached).toBeUndefined();
  });
});
