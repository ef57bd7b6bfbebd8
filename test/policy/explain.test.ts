import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { askOfUrl, explain } from "../../src/policy/explain.ts";
import { ask, policyOf, rule, verdict } from "./fixture.ts";

const credential = { custody: "main", name: "openai" };
const attachments = [{ as: "bearer" }] as const;
const openai = rule({
  name: "openai",
  credential,
  attachments,
  allow: [
    { methods: ["GET"], paths: ["/v1/models"] },
    { methods: ["POST"], paths: ["/v1/**"], query: { model: ["small"] }, headers: { "x-env": ["dev"] } },
    { methods: ["GET"], paths: ["/files/*"] },
  ],
});
const policy = policyOf(openai, rule({ name: "trial", host: "*.trial.org", mode: "report", credential, allow: [] }));

describe("explain", () => {
  test("what is allowed, by which entry, with what", () => {
    expect(explain(policy, ask("/files/%61?x=1"))).toEqual({
      decision: "allow",
      denial: null,
      why: null,
      authority: "api.example.com:443",
      destination: openai.destination,
      rule: "allow[2]",
      path: "/files/a",
      readings: [],
      query: "x=1",
      entries: [
        { rule: "allow[0]", methods: ["GET"], paths: ["/v1/models"], refusal: "path_not_allowed" },
        { rule: "allow[1]", methods: ["POST"], paths: ["/v1/**"], refusal: "path_not_allowed" },
        { rule: "allow[2]", methods: ["GET"], paths: ["/files/*"], refusal: null },
      ],
      credential,
      attachments,
    });
  });

  test("what is denied, and how far each entry went", () => {
    const told = explain(policy, ask("/v1/models?model=large", { method: "POST" }));
    expect(told).toMatchObject({
      decision: "deny",
      denial: "query_not_allowed",
      rule: null,
      credential: null,
      attachments: [],
    });
    expect(told.entries.map(({ refusal }) => refusal)).toEqual([
      "method_not_allowed",
      "query_not_allowed",
      "path_not_allowed",
    ]);
  });

  test("what is ambiguous, and why", () => {
    expect(explain(policy, ask("/files/a%2fb"))).toMatchObject({
      decision: "deny",
      denial: "ambiguous_path",
      why: expect.stringContaining("spell it in the pattern") as string,
      path: "/files/a%2Fb",
      readings: ["/files/a/b"],
    });
    expect(explain(policy, ask("/files/.."))).toMatchObject({
      why: expect.stringContaining("a dot segment") as string,
    });
    expect(explain(policy, ask("/files/%"))).toMatchObject({ why: expect.stringContaining("bad percent") as string });
  });

  test("a destination that nobody named", () => {
    expect(explain(policy, ask("/", { authority: "evil.org" }))).toMatchObject({
      decision: "deny",
      denial: "destination_not_allowed",
      destination: null,
      entries: [],
    });
  });

  test("report mode, without a credential", () => {
    const asked = ask("/", { authority: "x.trial.org" });
    expect(explain(policy, asked)).toMatchObject({ decision: "report", denial: "path_not_allowed", credential: null });
    expect(explain(policy, { ...asked, method: "TRACE" })).toMatchObject({
      decision: "deny",
      denial: "method_not_allowed",
      why: "TRACE is never forwarded",
    });
  });

  test("never says anything else than the decision", () => {
    const method = fc.constantFrom("GET", "POST", "DELETE", "TRACE");
    const target = fc
      .array(
        fc.constantFrom("/", "v1", "models", "files", "a", "%2f", "..", "%3f", "?", "model=small", "&", ";", "%"),
        { maxLength: 7 },
      )
      .map((parts) => `/${parts.join("")}`);
    const fields = fc.constantFrom<readonly (readonly [string, string])[]>(
      [],
      [["X-Env", "dev"]],
      [["X-HTTP-Method-Override", "DELETE"]],
    );
    const host = fc.constantFrom("api.example.com", "x.trial.org", "evil.org");
    fc.assert(
      fc.property(method, target, fields, host, (method, target, fields, authority) => {
        const asked = ask(target, { method, authority, fields });
        const told = explain(policy, asked);
        const decided = verdict(policy, asked);
        expect(told.decision === "deny" ? told.denial : (told.rule ?? told.decision)).toBe(decided);
      }),
      { numRuns: 3000 },
    );
  });
});

describe("a URL of the command line", () => {
  test.each([
    ["https://api.example.com", "https", "api.example.com:443", "/"],
    ["http://api.example.com/a", "http", "api.example.com:80", "/a"],
    ["HTTPS://API.example.com:8443/../a//b/%2e?x=1#frag", "https", "api.example.com:8443", "/../a//b/%2e?x=1"],
    ["https://[2001:db8::1]/", "https", "[2001:db8::1]:443", "/"],
    ["https://api.example.com?x=1", "https", "api.example.com:443", "/?x=1"],
  ])("%s", (url, scheme, authority, target) => {
    const { ask, problem } = askOfUrl("GET", url, [["X-Env", "dev"]]);
    expect(problem).toBeNull();
    expect(ask).toMatchObject({ method: "GET", scheme, target });
    expect(ask?.authority.text).toBe(authority);
    expect(ask?.fields.get("x-env")).toBe("dev");
    expect(ask?.fields.get("host")).toBe(ask?.authority.hostField(ask.scheme));
  });

  test.each([
    "api.example.com",
    "ftp://api.example.com/",
    "https:///x",
    "https://user@api.example.com/",
    "https://0x7f.1/",
    "",
  ])("%j is told what to write", (url) => {
    const { ask, problem } = askOfUrl("GET", url);
    expect(ask).toBeNull();
    expect(problem).toMatch(/write a/);
  });
});
