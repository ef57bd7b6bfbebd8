import { describe, expect, test } from "vitest";
import { Fields } from "../../src/core/fields.ts";
import { ask, authority, permitted, policyOf, rule, session } from "./fixture.ts";

const policy = policyOf(rule({ credential: { custody: "main", name: "key" }, attachments: [{ as: "bearer" }] }));
const classOf = (method: string, fields: readonly (readonly [string, string])[] = [], upgrade?: "websocket") =>
  policy.decide(session, {
    ...ask("/v1"),
    method,
    fields: Fields.of([["host", "api.example.com"], ...fields]),
    ...(upgrade === undefined ? {} : { upgrade }),
  }).methodClass;

describe("what an exchange may do at the upstream", () => {
  test.each(["GET", "HEAD", "OPTIONS"])("%s reads", (method) => {
    expect(classOf(method)).toBe("read");
  });

  test.each(["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get", "QUERY", "MKCOL"])("%s writes", (method) => {
    expect(classOf(method)).toBe("write");
  });

  test.each(["x-http-method-override", "X-HTTP-Method", "x-method-override"])(
    "a GET that names another method in %s writes",
    (name) => {
      expect(classOf("GET", [[name, "DELETE"]])).toBe("write");
    },
  );

  test("a WebSocket writes: it carries anything once it is open", () => {
    expect(classOf("GET", [], "websocket")).toBe("write");
  });

  test("a CONNECT says nothing of what follows, and counts as more than it may be", () => {
    expect(permitted(policy.admit(session, authority("api.example.com"))).methodClass).toBe("write");
  });
});
