import { describe, expect, test } from "vitest";
import { compilePolicy, compilePolicyInSlices } from "../../src/policy/compile.ts";
import { rule } from "./fixture.ts";

function problems(...rules: Parameters<typeof compilePolicy>[0]): string[] {
  const compiled = compilePolicy(rules);
  expect(compiled.policy === null).toBe(compiled.problems !== null);
  return (compiled.problems ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`);
}

test("sound rules make a policy that counts them", () => {
  const compiled = compilePolicy([rule({ name: "a" }), rule({ name: "b", host: "*.example.com" })]);
  expect(compiled.problems).toBeNull();
  expect(compiled.policy?.size).toBe(2);
});

describe("a slice at a time", () => {
  const many = Array.from({ length: 2001 }, (_, i) => rule({ name: `r${i}`, host: `h${i}.example.com` }));

  test("makes the same, and pauses between slices only", async () => {
    let pauses = 0;
    const pause = async (): Promise<void> => void pauses++;
    expect((await compilePolicyInSlices(many, pause)).policy?.size).toBe(2001);
    expect(pauses).toBe(4);
    expect((await compilePolicyInSlices(many.slice(0, 500), pause)).policy?.size).toBe(500);
    expect(pauses).toBe(4);
  });

  test("finds the same problems, over the borders of slices", async () => {
    const twins = [...many, rule({ name: "r0", host: "h1999.example.com" })];
    const pause = (): Promise<void> => Promise.resolve();
    expect(await compilePolicyInSlices(twins, pause)).toEqual(compilePolicy(twins));
    expect(compilePolicy(twins).problems).toHaveLength(2);
  });
});

describe("destinations that match alike are an error", () => {
  test("all of them are told, each with both names", () => {
    const found = problems(
      rule({ name: "a" }),
      rule({ name: "b" }),
      rule({ name: "c", host: "*.example.com" }),
      rule({ name: "d", host: "10.0.0.0/8" }),
      rule({ name: "e", host: "*.example.com" }),
      rule({ name: "f", host: "10.0.0.0/8" }),
      rule({ name: "g" }),
    );
    expect(found).toEqual([
      expect.stringMatching(/^destinations\.1\.host: "b" and "a" match alike/),
      expect.stringMatching(/^destinations\.4\.host: "e" and "c" match alike/),
      expect.stringMatching(/^destinations\.5\.host: "f" and "d" match alike/),
      expect.stringMatching(/^destinations\.6\.host: "g" and "a" match alike/),
    ]);
  });

  test("an address is one whatever kind of pattern it came as", () => {
    const exact = { ...rule({ name: "b" }), host: { kind: "exact", host: "10.0.0.1" } } as const;
    expect(problems(rule({ name: "a", host: "10.0.0.1" }), exact)).toHaveLength(1);
  });

  test("another port, scheme, or a nested pattern is no conflict", () => {
    expect(
      problems(
        rule({ name: "a" }),
        rule({ name: "b", port: 8443 }),
        rule({ name: "c", scheme: "http" }),
        rule({ name: "d", host: "*.example.com" }),
        rule({ name: "e", host: "*.api.example.com" }),
        rule({ name: "f", host: "10.0.0.0/8" }),
        rule({ name: "g", host: "10.0.0.0/16" }),
      ),
    ).toEqual([]);
  });

  test("a name that is used twice", () => {
    expect(problems(rule({ name: "a" }), rule({ name: "a", port: 8443 }))).toEqual([
      expect.stringMatching(/^destinations\.1\.name: "a" is destinations\[0\] already/),
    ]);
  });
});

describe("hosts", () => {
  test.each([
    ["API.example.com", 'write "api.example.com"'],
    ["*.Example.com", 'write "*.example.com"'],
    ["*.com", "whole top-level domain"],
    ["*.*.example.com", "not a host name"],
    ["api.example.com.", "not a host name"],
    ["b\u00fccher.example", "not a host name"],
    ["0x7f.1", "not a host name"],
  ])("%s: %s", (text, message) => {
    expect(problems(rule({ host: text }))).toEqual([expect.stringContaining(message)]);
  });
});

describe("entries", () => {
  test.each([
    ["v1", 'write "/v1"'],
    ["**", 'write "/**"'],
    ["/v1/a**", "** stands alone"],
    ["/v1/***", "** stands alone"],
    ["/v1?x=1", "under `query:`"],
    ["/v1/../x", "a dot segment"],
    ["/v1/./x", "a dot segment"],
    ["/v1/%2e%2e/x", "a dot segment"],
    ["/v1//x", "an empty segment"],
    ["/v1/x;y", "path parameters"],
    ["/v1\\x", "backslash"],
    ["/v1/%5cx", "backslash"],
    ["/v1/%252e", "double percent-encoding"],
    ["/v1/%zz", "bad percent-encoding"],
    ["/v1/50%", "bad percent-encoding"],
    ["/v1/%00", "control character"],
    ["/v1#x", "fragment"],
  ])("path %s: %s", (path, message) => {
    const found = problems(rule({ allow: [{}, { paths: ["/fine", path] }] }));
    expect(found).toEqual([expect.stringMatching(/^destinations\.0\.allow\.1\.paths\.1: /)]);
    expect(found[0]).toContain(message);
  });

  test.each([
    ["TRACE", "never forwarded"],
    ["CONNECT", "never forwarded"],
    ["get", 'write "GET"'],
    ["*", 'methods: ["*"]'],
    ["GET POST", "not a method token"],
    ["", "not a method token"],
  ])("method %j: %s", (method, message) => {
    expect(problems(rule({ allow: [{ methods: ["GET", method] }] }))).toEqual([expect.stringContaining(message)]);
  });

  test("header names are lower case", () => {
    expect(problems(rule({ allow: [{ headers: { "X-Env": ["a"] } }] }))).toEqual([
      expect.stringContaining('write "x-env"'),
    ]);
  });

  test("query keys that servers take for one", () => {
    expect(problems(rule({ allow: [{ query: { "a.b": ["1"], a_b: ["2"] } }] }))).toHaveLength(1);
  });

  test("a problem in a path that is used often is told for each use", () => {
    expect(
      problems(
        rule({ name: "a", allow: [{ paths: ["x"] }, { paths: ["x"] }] }),
        rule({ name: "b", port: 1, allow: [{ paths: ["x"] }] }),
      ),
    ).toHaveLength(3);
  });

  test("characters beyond ASCII and blanks may be written as they are", () => {
    expect(problems(rule({ allow: [{ paths: ["/caf\u00e9/a b/*"] }] }))).toEqual([]);
  });
});
