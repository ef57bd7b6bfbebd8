import { describe, expect, test } from "vitest";
import { createAttachPort } from "../../src/attach/attach.ts";
import { Fields } from "../../src/core/fields.ts";
import { WholeBody } from "../../src/core/whole-body.ts";
import {
  attachNow,
  denialOf,
  destination,
  headOf,
  headerValue,
  leaseOf,
  type Line,
  linesOf,
  NOW_MS,
  permitFor,
  requestOf,
  token,
  TOOLS,
  userpass,
} from "./exchange.ts";
import { problemsWith, specsOf } from "./from-config.ts";

/** A credential in the body: what the head must say of it, and what goes out. */

const JSON_BODY: Line = ["Content-Type", "application/json"];
const FORM_BODY: Line = ["Content-Type", "application/x-www-form-urlencoded"];
const SECRET = 'tok"\\/ 0123456789';

const inJson = { as: "body", pointer: "/auth/token" };
const inForm = { as: "body", field: "token" };

interface Given {
  readonly attach?: unknown;
  readonly lines?: readonly Line[];
  readonly body?: WholeBody | string;
  readonly material?: ReturnType<typeof token>;
}

function attached({ attach = inJson, lines = [JSON_BODY], body = '{"a":1}', material = token(SECRET) }: Given) {
  const port = createAttachPort(TOOLS);
  const permit = permitFor(destination(specsOf(attach, "token")));
  const head = headOf(lines);
  port.cleanse(permit, head);
  const request = requestOf(typeof body === "string" ? new WholeBody(Buffer.from(body)) : body);
  const injected = attachNow(port, permit, leaseOf(material), head, NOW_MS, request);
  const sent = request.body;
  if (!(sent instanceof WholeBody)) throw new Error("the body is to be held whole");
  return { text: sent.bytes.toString(), lines: linesOf(head), injected, sent };
}

function refusal(given: Given) {
  const denial = denialOf(() => attached(given));
  return `${denial?.code ?? "none"}: ${denial?.detail ?? ""}`;
}

test("in JSON", () => {
  const { text, injected } = attached({});
  expect(text).toBe(`{"auth":{"token":${JSON.stringify(SECRET)}},"a":1}`);
  expect(injected.values).toEqual(
    expect.arrayContaining([SECRET, 'tok\\"\\\\/ 0123456789', "tok%22%5C%2F%200123456789"]),
  );
});

test("in a form", () => {
  const { text } = attached({ attach: inForm, lines: [FORM_BODY], body: "a=1&token=mine" });
  expect(text).toBe("a=1&token=tok%22%5C%2F%200123456789");
});

test("with text around it", () => {
  const { text } = attached({ attach: { ...inJson, format: "Bearer {token}" }, material: headerValue("t") });
  expect(text).toBe('{"auth":{"token":"Bearer t"},"a":1}');
});

test("at two places", () => {
  const attach = [inJson, { as: "body", pointer: "/key" }];
  const { text } = attached({ attach, material: token("t") });
  expect(text).toBe('{"key":"t","auth":{"token":"t"},"a":1}');
});

test("trailers stay behind it, digests of the guest's body go", () => {
  const trailers = Fields.of([["x-sum", "1"]]);
  const lines: Line[] = [JSON_BODY, ["Content-Digest", "sha-256=:x:"], ["Content-MD5", "x"], ["Repr-Digest", "x"]];
  const { sent, lines: out } = attached({ lines, body: new WholeBody(Buffer.from("{}"), trailers) });
  expect(sent.length).toBe("stream");
  expect(out).toEqual(["Content-Type: application/json"]);
});

describe("what the head says of the body", () => {
  test.each([
    "application/json",
    "Application/JSON; charset=UTF-8",
    'application/json;charset="utf-8"',
    "application/vnd.api+json; profile=x",
    "application/json;",
  ])("%s is JSON", (type) => {
    expect(refusal({ lines: [["content-type", type]] })).toBe("none: ");
  });

  test.each<[string, Line[]]>([
    ["nothing", []],
    ["a form", [FORM_BODY]],
    ["plain text", [["Content-Type", "text/plain"]]],
    ["another charset", [["Content-Type", "application/json; charset=utf-16"]]],
    ["two charsets", [["Content-Type", "application/json; charset=utf-8; charset=utf-7"]]],
    ["a quoted semicolon", [["Content-Type", 'application/json; a="b;c"']]],
    ["two types in one", [["Content-Type", "application/json, text/plain"]]],
    ["two types", [JSON_BODY, FORM_BODY]],
    ["the same twice", [JSON_BODY, JSON_BODY]],
    ["another that CGI reads as the same", [JSON_BODY, ["Content_Type", "application/x-www-form-urlencoded"]]],
    ["one that CGI alone reads", [["Content_Type", "application/json"]]],
    ["a coding", [JSON_BODY, ["Content-Encoding", "gzip"]]],
    ["a coding that CGI reads", [JSON_BODY, ["content_encoding", "gzip"]]],
    ["no coding, spelled", [JSON_BODY, ["Content-Encoding", "identity"]]],
  ])("%s is refused", (_name, lines) => {
    expect(refusal({ lines })).toMatch(/^body_unfit: /);
  });

  test("JSON is no form", () => {
    expect(refusal({ attach: inForm })).toMatch(/^body_unfit: /);
  });
});

test.each(["", "[]", "no", '{"auth":1}', '{"auth":{},"Auth":{}}'])("a body of %j is refused", (body) => {
  expect(refusal({ body })).toMatch(/^body_unfit: /);
});

test("a refusal names nothing of body or secret", () => {
  const detail = refusal({ body: '{"auth":"guest-secret"}' });
  expect(detail).not.toMatch(/guest-secret|0123456789/);
});

test("a user name with a password is unusable", () => {
  expect(refusal({ material: userpass("robot", "pass") })).toMatch(/^lease_unusable/);
});

describe("a config", () => {
  test.each([
    [{ as: "body" }, /one of them/],
    [{ as: "body", pointer: "/a", field: "a" }, /one of them/],
    [{ as: "body", pointer: "a" }, /not a JSON pointer/],
    [{ as: "body", pointer: "/a/-" }, /not a JSON pointer/],
    [{ as: "body", pointer: "/a/~2" }, /not a JSON pointer/],
    [{ as: "body", pointer: "/a//b" }, /not a JSON pointer/],
    [{ as: "body", pointer: "/a", format: "x" }, /\{token\}/],
    [[inJson, inJson], /written by the body attachment already/],
    [[inJson, { as: "body", pointer: "/auth" }], /lies inside/],
    [[{ as: "body", pointer: "/auth" }, inJson], /lies inside/],
    [[inJson, inForm], /JSON or a form, never both/],
  ])("%j is refused", (attach, problem) => {
    expect(problemsWith(attach, "token")).toEqual([expect.stringMatching(problem)]);
  });

  test("a key that signs never travels", () => {
    expect(problemsWith(inJson, "signing_key")).toEqual([expect.stringMatching(/needs a secret that may travel/)]);
  });

  test("a signer stands behind it", () => {
    const all = problemsWith([{ as: "hmac", preset: "github" }, inJson], "signing_key").join("\n");
    expect(all).toMatch(/body changes the request behind hmac, which signs it: put it before hmac/);
  });
});
