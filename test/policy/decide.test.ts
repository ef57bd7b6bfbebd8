import { describe, expect, test } from "vitest";
import { Authority } from "../../src/core/authority.ts";
import { Denial } from "../../src/core/denial.ts";
import type { Ask } from "../../src/core/exchange.ts";
import { ask, authority, codeOf, permitted, outcome, policyOf, rule, session, verdict } from "./fixture.ts";

const credential = { custody: "main", name: "openai" };

describe("deny is what happens when nothing else does", () => {
  test("no rule at all", () => {
    expect(verdict(policyOf(), ask("/"))).toBe("destination_not_allowed");
    expect(outcome(() => policyOf().admit(session, authority("api.example.com")))).toBe("destination_not_allowed");
  });

  test("no allow entry", () => {
    expect(verdict(policyOf(rule({ allow: [] })), ask("/"))).toBe("path_not_allowed");
    expect(verdict(policyOf(rule({ allow: [] })), ask("/a b"))).toBe("ambiguous_path");
  });

  test("no method, no path", () => {
    expect(verdict(policyOf(rule({ allow: [{ methods: [] }] })), ask("/"))).toBe("method_not_allowed");
    expect(verdict(policyOf(rule({ allow: [{ paths: [] }] })), ask("/"))).toBe("path_not_allowed");
  });
});

describe("a refusal", () => {
  test("by a destination's rules names the destination, for the account; one of the authority names none", () => {
    const policy = policyOf(rule({ name: "narrow", allow: [{ paths: ["/v1"] }] }));
    const refusal = (request: Ask): unknown => {
      try {
        return policy.decide(session, request);
      } catch (thrown) {
        return thrown;
      }
    };
    expect(refusal(ask("/v2"))).toMatchObject({ code: "path_not_allowed", destination: "narrow" });
    const elsewhere = { ...ask("/v1"), authority: authority("other.example.com") };
    expect(refusal(elsewhere)).toMatchObject({ code: "destination_not_allowed", destination: null });
  });
});

describe("a permit", () => {
  const destination = rule({ credential, allow: [{ methods: ["POST"] }, { methods: ["GET"] }, {}] });
  const policy = policyOf(destination);

  test("names session, authority, destination and the first entry that allows", () => {
    const request = ask("/v1");
    const permit = policy.decide(session, request);
    expect(permit.session).toBe(session);
    expect(permit.authority).toBe(request.authority);
    expect(permit.destination).toBe(destination.destination);
    expect(permit.rule).toBe("allow[1]");
    expect(permit.wouldDeny).toBeNull();
    expect(permit.needsCredential).toBe(true);
  });

  test("of a CONNECT carries the rule `connect`", () => {
    const permit = permitted(policy.admit(session, authority("api.example.com")));
    expect(permit.rule).toBe("connect");
    expect(permit.destination).toBe(destination.destination);
  });
});

describe("CONNECT", () => {
  const https = rule({ name: "tls" });
  const http = rule({ name: "clear", scheme: "http" });

  test("to an authority that both schemes name is treated as https", () => {
    expect(permitted(policyOf(http, https).admit(session, authority("api.example.com"))).destination.name).toBe("tls");
    expect(permitted(policyOf(http).admit(session, authority("api.example.com"))).destination.name).toBe("clear");
  });

  test("knows which names the allow-list spells: no wildcard's, no address's", () => {
    const wild = rule({ name: "wild", host: "*.example.org" });
    const policy = policyOf(http, wild);
    const spelled = ["api.example.com:443", "a.example.org:443", "api.example.com:444", "192.0.2.1:443"];
    expect(spelled.map((text) => policy.spells(authority(text)))).toEqual([true, false, false, false]);
  });

  test("to another port or name is refused", () => {
    const policy = policyOf(http, https);
    for (const text of [
      "api.example.com:80",
      "api.example.com:8443",
      "example.com",
      "x.api.example.com",
      "127.0.0.1",
    ]) {
      expect(outcome(() => policy.admit(session, authority(text)))).toBe("destination_not_allowed");
    }
  });

  test("gives no standing right: inside, the scheme that is spoken decides", () => {
    expect(verdict(policyOf(http), ask("/", { scheme: "https" }))).toBe("destination_not_allowed");
    expect(verdict(policyOf(https), ask("/", { scheme: "http", authority: "api.example.com:443" }))).toBe(
      "destination_not_allowed",
    );
  });
});

describe("methods", () => {
  const policy = policyOf(rule({ allow: [{ methods: ["GET", "POST"] }] }));
  const any = policyOf(rule());

  test("are compared exactly", () => {
    expect(verdict(policy, ask("/", { method: "POST" }))).toBe("allow[0]");
    for (const method of ["get", "Get", "DELETE", "GETX", "G"]) {
      expect(verdict(policy, ask("/", { method }))).toBe("method_not_allowed");
      expect(verdict(any, ask("/", { method }))).toBe("allow[0]");
    }
  });

  test.each(["TRACE", "trace", "Trace", "TRACK", "track", "CONNECT", "connect", "tRaCe"])(
    "%s is never forwarded",
    (method) => {
      expect(verdict(any, ask("/", { method }))).toBe("method_not_allowed");
      expect(verdict(policyOf(rule({ mode: "report" })), ask("/", { method }))).toBe("method_not_allowed");
    },
  );
});

describe("fields that override", () => {
  const policy = policyOf(rule({ allow: [{ methods: ["GET", "POST"] }] }));
  const paths = policyOf(rule({ allow: [{ paths: ["/v1/**"] }] }));
  const any = policyOf(rule());
  const post = (name: string, value: string): Ask => ask("/v1/x", { method: "POST", fields: [[name, value]] });

  test.each(["X-HTTP-Method-Override", "x-http-method", "X-Method-Override"])(
    "%s must name a method that is allowed",
    (name) => {
      expect(verdict(policy, post(name, "GET"))).toBe("allow[0]");
      expect(verdict(policy, post(name, "get"))).toBe("allow[0]");
      expect(verdict(policy, post(name, "DELETE"))).toBe("header_not_allowed");
      expect(verdict(policy, post(name, "TRACE"))).toBe("header_not_allowed");
      expect(verdict(any, post(name, "DELETE"))).toBe("allow[0]");
      expect(verdict(any, post(name, "trace"))).toBe("header_not_allowed");
    },
  );

  test.each(["X-Original-URL", "X-Rewrite-URL"])("%s has no place where paths are narrowed", (name) => {
    expect(verdict(paths, post(name, "/admin"))).toBe("header_not_allowed");
    expect(verdict(any, post(name, "/admin"))).toBe("allow[0]");
  });

  test("a field that was dropped says nothing", () => {
    const request = post("X-HTTP-Method-Override", "DELETE");
    request.fields.dropAll("x-http-method-override");
    expect(verdict(policy, request)).toBe("allow[0]");
  });

  test("two lines are both looked at", () => {
    const fields = [
      ["X-HTTP-Method-Override", "GET"],
      ["X-HTTP-Method-Override", "DELETE"],
    ] as const;
    expect(verdict(policy, ask("/", { method: "POST", fields }))).toBe("header_not_allowed");
  });
});

describe("headers", () => {
  const policy = policyOf(
    rule({ allow: [{ headers: { "content-type": ["application/json*"], "x-env": ["test", "dev"] } }] }),
  );

  test.each([
    [
      [
        ["Content-Type", "application/json; charset=utf-8"],
        ["X-Env", "dev"],
      ],
      "allow[0]",
    ],
    [[["Content-Type", "application/json"]], "header_not_allowed"],
    [
      [
        ["Content-Type", "text/html"],
        ["X-Env", "dev"],
      ],
      "header_not_allowed",
    ],
    [
      [
        ["Content-Type", "application/json"],
        ["X-Env", "dev"],
        ["x-env", "prod"],
      ],
      "header_not_allowed",
    ],
    [
      [
        ["Content-Type", "application/json"],
        ["X-Env", "dev"],
        ["x-env", "test"],
      ],
      "allow[0]",
    ],
    [[], "header_not_allowed"],
  ] as const)("%j: %s", (fields, expected) => {
    expect(verdict(policy, ask("/", { fields }))).toBe(expected);
  });
});

describe("the code of a denial is that of the entry that came nearest", () => {
  const policy = policyOf(
    rule({
      allow: [
        { methods: ["GET"], paths: ["/a"] },
        { methods: ["POST"], paths: ["/b"], query: { q: ["1"] }, headers: { "x-a": ["1"] } },
        { methods: ["PUT"], paths: ["/c/**"] },
      ],
    }),
  );

  test.each([
    ["GET", "/z", "path_not_allowed"],
    ["DELETE", "/z", "path_not_allowed"],
    ["GET", "/b", "method_not_allowed"],
    ["DELETE", "/a", "method_not_allowed"],
    ["POST", "/b?q=2", "query_not_allowed"],
    ["POST", "/b?q=1", "header_not_allowed"],
    ["PUT", "/c/../a", "ambiguous_path"],
    ["GET", "/c/../a", "ambiguous_path"],
    ["GET", "/a%3fx", "ambiguous_path"],
    ["GET", "/a%2f", "path_not_allowed"],
    ["GET", "/a", "allow[0]"],
  ])("%s %s: %s", (method, target, expected) => {
    expect(verdict(policy, ask(target, { method }))).toBe(expected);
  });

  test("and its cause tells operators what is ambiguous", () => {
    const told = (target: string): string | null => {
      try {
        policy.decide(session, ask(target));
      } catch (thrown) {
        return codeOf(thrown) === "ambiguous_path" && thrown instanceof Denial ? thrown.detail : null;
      }
      return null;
    };
    expect(told("/c/../a")).toContain("a dot segment");
    expect(told("/a%00")).toContain("control character");
    expect(told("/a%3f")).toContain("encoded delimiter");
  });
});

describe("report mode", () => {
  const policy = policyOf(rule({ mode: "report", credential, allow: [{ methods: ["GET"], paths: ["/v1/**"] }] }));

  test("what is allowed is allowed, with the credential", () => {
    const permit = policy.decide(session, ask("/v1/x"));
    expect(permit.rule).toBe("allow[0]");
    expect(permit.needsCredential).toBe(true);
  });

  test.each([
    ["GET", "/admin", "path_not_allowed"],
    ["POST", "/v1/x", "method_not_allowed"],
    ["GET", "/v1/../admin", "ambiguous_path"],
  ])("%s %s goes on, counted as %s, without any credential", (method, target, code) => {
    const permit = policy.decide(session, ask(target, { method }));
    expect(permit.rule).toBe("report");
    expect(permit.wouldDeny).toBe(code);
    expect(permit.needsCredential).toBe(false);
  });

  test("an authority that no destination names is refused all the same", () => {
    expect(verdict(policy, ask("/v1/x", { authority: "other.example.com" }))).toBe("destination_not_allowed");
  });
});

/** A guest's spellings of a host: each is the very name that was allowed, or nothing at all. */
describe("host spellings", () => {
  const policy = policyOf(
    rule({ name: "exact" }),
    rule({ name: "below", host: "*.example.net" }),
    rule({ name: "address", host: "192.0.2.7" }),
    rule({ name: "six", host: "2001:db8::7" }),
  );

  test.each([
    ["api.example.com", "exact"],
    ["API.EXAMPLE.COM:443", "exact"],
    ["a.example.net", "below"],
    ["a.b.example.net", "below"],
    ["xn--bcher-kva.example.net", "below"],
    ["192.0.2.7", "address"],
    ["[2001:db8::7]", "six"],
    ["[2001:0DB8:0:0:0:0:0:7]", "six"],
  ])("%s is %s", (text, name) => {
    expect(permitted(policy.admit(session, authority(text))).destination.name).toBe(name);
  });

  test.each([
    "api.example.com.",
    "api.example.com..",
    ".api.example.com",
    "api..example.com",
    "api.example.com:443:443",
    "api.example.com:0443",
    "api.example.com:+443",
    "api.example.com: 443",
    "api.example.com:",
    "api.example.com:0",
    "api.example.com:65979",
    "api.example.com@evil.org",
    "evil.org@api.example.com",
    "user:pw@api.example.com",
    "api.example.com/evil",
    "api.example.com\\.evil.org",
    "api.example.com#.evil.org",
    "api.example.com?.evil.org",
    "api.example.com%00.evil.org",
    "api.example.com\u0000.evil.org",
    "api%2eexample%2ecom",
    "api.example.com ",
    " api.example.com",
    "api\u3002example\u3002com",
    "\uff41pi.example.com",
    "api.ex\u00e4mple.com",
    "192.0.2.07",
    "192.0.2.0x7",
    "192.0.519",
    "3221225991",
    "0xc0000207",
    "0300.0.2.7",
    "192.0.2.7.",
    "192.0.2.7%25eth0",
    "::ffff:192.0.2.7",
    "[::ffff:192.0.2.7]",
    "[::ffff:c000:207]",
    "[2001:db8::7%25eth0]",
    "[2001:db8::7",
    "2001:db8::7",
    "[192.0.2.7]",
    "[2001:db8::7]x",
    "",
    ":443",
    "[]",
  ])("%j is no authority", (text) => {
    expect(Authority.parse(text, 443)).toBeNull();
  });

  test.each([
    "example.net",
    "example.com",
    "xapi.example.com",
    "api.example.com.evil.org",
    "api-example.com",
    "aexample.net",
    "192.0.2.70",
    "[2001:db8::70]",
    "[64:ff9b::c000:207]",
    "[2002:c000:207::]",
    "[::192.0.2.7]",
    "7.2.0.192.in-addr.arpa",
    "192.0.2.7.example.org",
    "192-0-2-7.example.org",
    "localhost",
  ])("%s is another host", (text) => {
    expect(outcome(() => policy.admit(session, authority(text)))).toBe("destination_not_allowed");
  });
});
