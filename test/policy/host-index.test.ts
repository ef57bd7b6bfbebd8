import * as fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { Authority } from "../../src/core/authority.ts";
import type { HostPattern } from "../../src/core/destination.ts";
import { ipRangeContains } from "../../src/core/ip.ts";
import { HostIndex, type Scheme } from "../../src/policy/host-index.ts";
import { authority, host } from "./fixture.ts";

function indexOf(...patterns: readonly string[]): HostIndex<string> {
  const index = new HostIndex<string>();
  for (const pattern of patterns) expect(index.add("https", 443, host(pattern), pattern)).toBeNull();
  return index;
}

describe("names", () => {
  const index = indexOf("api.example.com", "*.example.com", "*.eu.example.com", "*.deep.a.b.c.test.org", "localhost");

  test.each([
    ["api.example.com", "api.example.com"],
    ["API.Example.COM", "api.example.com"],
    ["www.example.com", "*.example.com"],
    ["x.api.example.com", "*.example.com"],
    ["x.eu.example.com", "*.eu.example.com"],
    ["eu.example.com", "*.example.com"],
    ["example.com", null],
    ["notexample.com", null],
    ["xexample.com", null],
    ["example.com.evil.org", null],
    ["api.example.com.evil.org", null],
    ["com", null],
    ["localhost", "localhost"],
    ["x.localhost", null],
    ["x.deep.a.b.c.test.org", "*.deep.a.b.c.test.org"],
    ["deep.a.b.c.test.org", null],
    [`${"a.".repeat(118)}example.com`, "*.example.com"],
  ])("%s: %s", (text, expected) => {
    expect(index.find("https", authority(text))).toBe(expected);
  });

  test("port and scheme are part of the key", () => {
    expect(index.find("https", authority("api.example.com:8443"))).toBeNull();
    expect(index.find("http", authority("api.example.com:443"))).toBeNull();
    expect(index.add("http", 443, host("api.example.com"), "plain")).toBeNull();
    expect(index.find("http", authority("api.example.com:443"))).toBe("plain");
    expect(index.find("https", authority("api.example.com"))).toBe("api.example.com");
  });

  test("the same pattern twice gives the first one back and keeps it", () => {
    expect(index.add("https", 443, host("*.example.com"), "other")).toBe("*.example.com");
    expect(index.find("https", authority("www.example.com"))).toBe("*.example.com");
  });
});

describe("addresses", () => {
  const index = indexOf("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "2001:db8::/32", "2001:db8:1::/48", "192.0.2.128/25");

  test.each([
    ["10.9.9.9", "10.0.0.0/8"],
    ["10.1.9.9", "10.1.0.0/16"],
    ["10.1.2.3", "10.1.2.3"],
    ["11.0.0.1", null],
    ["192.0.2.127", null],
    ["192.0.2.128", "192.0.2.128/25"],
    ["[2001:db8::1]", "2001:db8::/32"],
    ["[2001:DB8:1:0:0::1]", "2001:db8:1::/48"],
    ["[2001:db9::1]", null],
  ])("%s: %s", (text, expected) => {
    expect(index.find("https", authority(text))).toBe(expected);
  });

  test("a range of everything of one family leaves the other alone, and names too", () => {
    const all = indexOf("0.0.0.0/0");
    expect(all.find("https", authority("203.0.113.9"))).toBe("0.0.0.0/0");
    expect(all.find("https", authority("[::1]"))).toBeNull();
    expect(all.find("https", authority("example.com"))).toBeNull();
  });
});

interface Row {
  readonly scheme: Scheme;
  readonly port: number;
  readonly pattern: HostPattern;
  readonly value: number;
}

/** Looks at every row; the most specific that matches. */
function findByWalking(rows: readonly Row[], scheme: Scheme, wanted: Authority): number | null {
  let best: { value: number; rank: number } | null = null;
  for (const { scheme: itsScheme, port, pattern, value } of rows) {
    if (itsScheme !== scheme || port !== wanted.port) continue;
    const rank = rankOf(pattern, wanted);
    if (rank !== null && (best === null || rank > best.rank)) best = { value, rank };
  }
  return best?.value ?? null;
}

function rankOf(pattern: HostPattern, { host, ip }: Authority): number | null {
  if (pattern.kind === "ip") return ip !== null && ipRangeContains(pattern.range, ip) ? pattern.range.prefix : null;
  if (ip !== null) return null;
  if (pattern.kind === "exact") return pattern.host === host ? Number.POSITIVE_INFINITY : null;
  return host.endsWith(`.${pattern.suffix}`) ? pattern.suffix.length : null;
}

describe("against a walk over all rows", () => {
  const label = fc.constantFrom("a", "b", "ab");
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
  const octet = fc.constantFrom(0, 1, 129);
  const v4 = fc.tuple(octet, octet, octet, octet).map((octets) => octets.join("."));
  const group = fc.constantFrom("0", "8001");
  const v6 = fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(":"));
  const range = fc
    .tuple(fc.oneof(v4, v6), fc.nat(128))
    .map(([text, prefix]) => maskedRange(text, text.includes(":") ? prefix : prefix % 33));
  const pattern = fc.oneof(
    name,
    name.map((suffix) => `*.${suffix}`),
    range,
  );
  const row = fc.record({
    scheme: fc.constantFrom<Scheme>("http", "https"),
    port: fc.constantFrom(443, 8443),
    pattern,
  });
  const wanted = fc.oneof(
    name,
    v4,
    v6.map((text) => `[${text}]`),
  );

  test("finds the same", () => {
    let found = 0;
    fc.assert(
      fc.property(
        fc.array(row, { minLength: 10, maxLength: 40 }),
        fc.array(wanted, { minLength: 10, maxLength: 20 }),
        (drawn, texts) => {
          const index = new HostIndex<number>();
          const rows: Row[] = [];
          drawn.forEach((each, value) => {
            const parsed = { ...each, pattern: host(each.pattern), value };
            if (index.add(each.scheme, each.port, parsed.pattern, value) === null) rows.push(parsed);
          });
          for (const text of texts) {
            const parsed = Authority.parse(text, 443);
            if (parsed === null) continue;
            const expected = findByWalking(rows, "https", parsed);
            if (expected !== null) found++;
            expect(index.find("https", parsed)).toBe(expected);
          }
        },
      ),
      { numRuns: 3000 },
    );
    expect(found).toBeGreaterThan(1000);
  });
});

function maskedRange(text: string, prefix: number): string {
  const pattern = host(text);
  if (pattern.kind !== "ip") throw new Error(text);
  const base = pattern.range.base.map((byte, i) => byte & (0xff00 >> Math.max(0, Math.min(8, prefix - i * 8))));
  const groups = Array.from({ length: base.length / 2 }, (_, i) =>
    (((base[i * 2] as number) << 8) | (base[i * 2 + 1] as number)).toString(16),
  );
  return `${base.length === 4 ? base.join(".") : groups.join(":")}/${prefix}`;
}

describe("cost", () => {
  const few = filled(10);
  const many = filled(100_000);

  test.each([
    "h7.example.com",
    "x.w3.example.net",
    "unknown.example.org",
    `${"a.".repeat(100)}w3.example.net`,
    "10.0.0.7",
    "[2001:db8::7]",
  ])("as many look-ups for %s among 100,000 as among 10", (text) => {
    const wanted = authority(text);
    const least = lookups(() => few.find("https", wanted));
    expect(lookups(() => many.find("https", wanted))).toBe(least);
    expect(least).toBeLessThan(8);
  });
});

function filled(count: number): HostIndex<number> {
  const index = new HostIndex<number>();
  for (let i = 0; i < count; i++) {
    index.add("https", 443, host(`h${i}.example.com`), i);
    index.add("https", 443, host(`*.w${i}.example.net`), i);
    index.add("https", 443, host(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`), i);
    index.add("https", 443, host(`2001:db8:${(i >> 8).toString(16)}:${(i & 255).toString(16)}::/64`), i);
  }
  return index;
}

/** Hash look-ups made while `find` runs. */
function lookups(find: () => unknown): number {
  const spy = vi.spyOn(Map.prototype, "get");
  try {
    find();
    return spy.mock.calls.length;
  } finally {
    spy.mockRestore();
  }
}
