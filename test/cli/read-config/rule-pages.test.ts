import * as fc from "fast-check";
import { deserialize, serialize } from "node:v8";
import { describe, expect, test } from "vitest";
import { pagesOf, PageReader, type RulePage } from "../../../src/cli/read-config/rule-pages.ts";
import type { Destination, DestinationRule, HostPattern, UpstreamParent } from "../../../src/core/destination.ts";
import { allow, destination, host } from "../../policy/fixture.ts";

/** What comes out on the other side is what went in: every part of a rule, frozen, and one object for what is equal. */

/** As the channel between two processes does it. */
function sent(rules: readonly DestinationRule[]): DestinationRule[] {
  const reader = new PageReader();
  return [...pagesOf(rules)].flatMap((page) => reader.read(deserialize(serialize(page)) as RulePage));
}

function rule(name: string, pattern: HostPattern, changes: Partial<DestinationRule> = {}): DestinationRule {
  return { destination: destination({ name }), host: pattern, port: 443, allow: [allow()], ...changes };
}

/** A name means one parent throughout a config. */
function parentCalled(name: string): UpstreamParent {
  const to = destination({ name, addresses: [{ base: Uint8Array.of(10, 0, 0, 5), prefix: 32 }] });
  return { name, address: `${name}.test:3128`, connectBy: "address", serverName: `${name}.test`, destination: to };
}

const patterns = fc.constantFrom("a.example.com", "*.example.com", "10.0.0.0/8", "2001:db8::1").map(host);
const texts = fc.string({ unit: "binary", maxLength: 8 });
const lists = fc.dictionary(texts, fc.array(texts, { maxLength: 2 }), { maxKeys: 2, noNullPrototype: true });
const bodies = fc.record({
  credential: fc.option(fc.record({ custody: texts, name: texts }, { noNullPrototype: true })),
  attachments: fc.subarray([
    { as: "bearer" as const },
    { as: "placeholder" as const, value: "PH", spots: [{ in: "header" as const, name: "x" }] },
  ]),
  dropHeaders: fc.array(texts, { maxLength: 2 }),
  addresses: fc
    .subarray(["10.0.0.0/8", "10.0.0.0/9", "fc00::/7"])
    .map((ranges) => ranges.map(host).flatMap((pattern) => (pattern.kind === "ip" ? [pattern.range] : []))),
  trust: fc.option(texts),
  synthetic: fc.option(
    fc.record(
      { as: fc.constant("oauth2_token" as const), token: texts, expiresInSeconds: fc.constant(60) },
      { noNullPrototype: true },
    ),
  ),
  parent: fc.option(fc.constantFrom("corp", "names").map(parentCalled)),
  mode: fc.constantFrom("enforce" as const, "report" as const),
  tls: fc.constantFrom("inspect" as const, "passthrough" as const),
  http: fc.constantFrom("auto" as const, "h1" as const, "h2" as const, "h2c" as const),
  scheme: fc.constantFrom("http" as const, "https" as const),
});
const rules = fc
  .record({
    name: texts,
    pattern: patterns,
    body: bodies,
    port: fc.integer({ min: 1, max: 65_535 }),
    entries: fc.array(
      fc.record({
        methods: fc.option(fc.array(texts, { maxLength: 2 })),
        paths: fc.array(texts, { maxLength: 2 }),
        query: fc.option(lists),
        headers: fc.option(lists),
      }),
      { maxLength: 2 },
    ),
  })
  .map(({ name, pattern, body, port, entries }) => ({
    ...rule(name, pattern, { port, allow: entries }),
    destination: destination({ name, ...body }),
  }));

/** Another value for every part of a destination but its name: the compiler names the one that is missing here. */
const OTHERS: Omit<Destination, "name"> = {
  scheme: "http",
  tls: "passthrough",
  http: "h2",
  mode: "report",
  credential: { custody: "main", name: "key" },
  attachments: [{ as: "bearer" }],
  dropHeaders: ["x"],
  addresses: [{ base: Uint8Array.of(10, 0, 0, 5), prefix: 32 }],
  trust: "PEM",
  synthetic: { as: "oauth2_token", token: "postern-guest-token", expiresInSeconds: 60 },
  parent: parentCalled("corp"),
};

describe("rules on their way between two processes", () => {
  test("arrive as they were", () => {
    fc.assert(
      fc.property(fc.array(rules, { maxLength: 8 }), (list) => {
        expect(sent(list)).toEqual(list);
      }),
      { numRuns: 300 },
    );
  });

  test("a list of several pages, in order", () => {
    const list = Array.from({ length: 1234 }, (_, i) =>
      rule(`r${i}`, host(`h${i}.example.com`), { port: 1 + (i % 3) }),
    );
    expect([...pagesOf(list)].length).toBeGreaterThan(2);
    expect(sent(list)).toEqual(list);
  });

  test.each(Object.entries(OTHERS))("two rules that differ in %s alone stay two", (key, value) => {
    const plain = destination({ name: "plain" });
    const other = { ...plain, name: "other", [key]: value };
    const list = [plain, other].map((one) => ({ ...rule("", host("a.test")), destination: one }));
    expect(sent(list)).toEqual(list);
  });

  test("what rules have in common is one object, over all pages", () => {
    const list = Array.from({ length: 1200 }, (_, i) => rule(`r${i}`, host(`h${i}.example.com`)));
    const arrived = sent(list);
    expect(new Set(arrived.map((one) => one.allow)).size).toBe(1);
    expect(new Set(arrived.map((one) => one.destination.attachments)).size).toBe(1);
  });

  test("everything is frozen, and an address holds no message", () => {
    const addresses = [host("10.0.0.0/8")].flatMap((pattern) => (pattern.kind === "ip" ? [pattern.range] : []));
    const list = [
      { ...rule("a", host("a.example.com")), destination: destination({ name: "a", addresses }) },
      rule("b", host("192.0.2.0/24")),
    ];
    const arrived = sent(list);
    const parts = arrived.flatMap((one) => [
      one,
      one.destination,
      one.host,
      one.allow,
      one.allow[0],
      one.allow[0]?.paths,
    ]);
    expect(parts.every((part) => Object.isFrozen(part))).toBe(true);
    expect(arrived[0]?.destination.addresses[0]?.base.buffer.byteLength).toBe(4);
    const other = arrived[1]?.host;
    expect(other?.kind === "ip" && other.range.base.buffer.byteLength).toBe(4);
  });

  test("a page that is not whole is no shorter list", () => {
    const [page] = pagesOf([rule("a", host("a.example.com"))]);
    expect(() => new PageReader().read({ ...(page as RulePage), newBodies: [] })).toThrow(RangeError);
  });
});
