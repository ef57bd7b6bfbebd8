import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { JsonBytes } from "../../src/core/json-bytes.ts";
import { intentMembers, isoTime, MAX_TEXT, quoted, recordMembers } from "../../src/core/record-json.ts";
import { exchangeRecord } from "../telemetry/record.ts";
import { usedBytes } from "./support/collected.ts";

const parsed = (members: JsonBytes | string): Record<string, unknown> =>
  JSON.parse(`{${String(members)}}`) as Record<string, unknown>;

describe("members of a record", () => {
  test("everything that is known, in field terms and whole units", () => {
    expect(parsed(recordMembers(exchangeRecord(), "0123456789abcdef"))).toEqual({
      time: "2027-01-15T08:00:00.123Z",
      id: "b00t-1",
      kind: "http",
      listener: "guests",
      guest: "127.0.0.1:54321",
      tenant: "acme",
      session: "0123456789abcdef",
      method: "GET",
      scheme: "https",
      authority: "api.openai.com:443",
      path: "/v1/models",
      destination: "openai",
      rule: "allow[0]",
      lease: "lease-1",
      resource_ref: "ref-1",
      decision: "allow",
      outcome: "completed",
      duration_us: 2750,
      status: 200,
      upstream: "192.0.2.7",
      first_byte_us: 1500,
      bytes_from_guest: 12,
      bytes_to_guest: 1024,
      injected: true,
    });
  });

  test("a refusal before anything was known: empty values are left out", () => {
    const record = exchangeRecord({
      kind: "connection",
      tenant: "",
      session: "",
      method: "",
      scheme: "",
      authority: "",
      path: "",
      destination: "",
      rule: "",
      denial: "request_malformed",
      detail: "bad byte",
      status: 400,
      outcome: "denied",
      upstream: "",
      lease: "",
      resourceRef: "",
      injected: false,
      bytesFromGuest: 0,
      bytesToGuest: 0,
      firstByteMs: 0,
    });
    expect(parsed(recordMembers(record, ""))).toEqual({
      time: "2027-01-15T08:00:00.123Z",
      id: "b00t-1",
      kind: "connection",
      listener: "guests",
      guest: "127.0.0.1:54321",
      decision: "deny",
      outcome: "denied",
      duration_us: 2750,
      status: 400,
      denial: "request_malformed",
      detail: "bad byte",
    });
  });

  test("report mode, retry and masking", () => {
    const record = exchangeRecord({ wouldDeny: "path_not_allowed", retried: true, masked: 2 });
    expect(parsed(recordMembers(record, "m"))).toMatchObject({
      decision: "report",
      would_deny: "path_not_allowed",
      retried: true,
      masked: 2,
    });
  });

  test("what is remembered of one exchange is never said of another", () => {
    const some = (...values: string[]): fc.Arbitrary<string> => fc.constantFrom(...values);
    const parts = fc.record({
      listener: some("a", "b"),
      tenant: some("", "t", "u"),
      scheme: some("", "http", "https"),
      authority: some("", "a:1", "b:1"),
      destination: some("", "d", "e"),
      rule: some("", "allow[0]", "allow[1]"),
      lease: some("", "l", "d"),
      resourceRef: some("", "r"),
    });
    fc.assert(
      fc.property(parts, some("", "m", "n"), (chosen, mark) => {
        const members = parsed(recordMembers(exchangeRecord(chosen), mark));
        const { resourceRef, ...rest } = chosen;
        const expected = { ...rest, resource_ref: resourceRef, session: mark };
        for (const [name, value] of Object.entries(expected)) expect(members[name] ?? "").toBe(value);
      }),
      { numRuns: 3000 },
    );
  });

  test("the session id is in none of them", () => {
    const record = exchangeRecord({ session: "very-private" });
    expect(recordMembers(record, "m") + intentMembers(record, "m")).not.toContain("very-private");
  });

  test("docs/operations.md has each member, and no other", () => {
    const record = exchangeRecord({
      wouldDeny: "path_not_allowed",
      denial: "internal",
      detail: "x",
      retried: true,
      masked: 1,
      via: "corp",
    });
    const docs = readFileSync(new URL("../../docs/operations.md", import.meta.url), "utf8");
    const table = /### Members of an exchange([^]*?)\n### /.exec(docs)?.[1] ?? "";
    const documented = [...table.matchAll(/^\| `([a-z_]+)` \|/gm)].map(([, name]) => name);
    expect(documented).toEqual(Object.keys(parsed(recordMembers(record, "m"))));
  });

  test("an intent says what will be sent and nothing of how it ends", () => {
    const members = parsed(intentMembers(exchangeRecord(), "m"));
    expect(members).toMatchObject({ id: "b00t-1", destination: "openai", lease: "lease-1" });
    expect(Object.keys(members)).not.toContain("decision");
  });

  test("a guest's string is cut at the bound and says so", () => {
    const members = parsed(recordMembers(exchangeRecord({ path: `/${"x".repeat(9999)}` }), "m"));
    expect((members["path"] as string).length).toBe(MAX_TEXT);
    expect(members["path_cut"]).toBe(10_000);
  });

  test("whatever the strings and numbers are, it is ASCII, one line, and reads back", () => {
    const odd = fc.oneof(
      fc.string({ unit: "binary", maxLength: 50 }),
      fc.constantFrom('"', "\\", "\n", "\u2028", "\u00ff\u0000"),
    );
    const number = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(Number.NaN, Infinity, -Infinity, -0));
    fc.assert(
      fc.property(odd, odd, odd, odd, odd, number, number, (id, path, method, detail, lease, ended, bytes) => {
        const record = exchangeRecord({ id, path, method, detail, lease, endedMs: ended, bytesToGuest: bytes });
        const text = String(recordMembers(record, "m"));
        expect(text).toMatch(/^[ -~]*$/);
        const members = parsed(text);
        expect([members["id"], members["path"] ?? "", members["method"] ?? "", members["detail"]]).toEqual([
          id,
          path,
          method,
          detail,
        ]);
        expect(members["lease"] ?? "").toBe(lease);
        expect(members["duration_us"]).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 2000 },
    );
  });

  test("what is kept for each lease keeps nothing else in memory", async () => {
    const before = process.memoryUsage().arrayBuffers;
    const pools: Buffer[] = [];
    for (let i = 0; i < 500; i++) {
      recordMembers(exchangeRecord({ lease: `lease-${i}` }), "m");
      // Whoever shares a pool with what is kept.
      for (let j = 0; j < 3; j++) pools.push(Buffer.allocUnsafe(30_000));
      pools.length = 0;
    }
    await expect.poll(() => usedBytes("arrayBuffers") - before).toBeLessThan(16_000_000);
  });

  test("a guest cannot put a member of its own into a line", () => {
    const path = '/x","injected":true,"lease":"forged';
    const members = parsed(recordMembers(exchangeRecord({ path, injected: false, lease: "" }), "m"));
    expect([members["path"], members["injected"], members["lease"]]).toEqual([path, undefined, undefined]);
  });

  test("a string is quoted as JSON does, but for what is not ASCII", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(JSON.parse(quoted(text))).toBe(text);
      }),
    );
  });

  test("times are those of Date", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_102_444_800_000 }), (wallMs) => {
        expect(isoTime(wallMs)).toBe(new Date(wallMs).toISOString());
      }),
    );
  });
});
