import { describe, expect, test } from "vitest";
import { createAttachPort } from "../../src/attach/attach.ts";
import type { AttachmentSpec } from "../../src/core/destination.ts";
import {
  destination,
  headOf,
  leaseOf,
  type Line,
  linesOf,
  NOW_MS,
  permitFor,
  token,
  TOOLS,
  attachNow,
} from "./exchange.ts";

/** What a hostile guest says in the place of a credential never leaves, whether or not one follows. */

const SECRET = "tok-0123456789";
const SPECS: Readonly<Record<string, AttachmentSpec>> = {
  bearer: { as: "bearer" },
  basic: { as: "basic", username: "robot" },
  header: { as: "header", name: "X-Api-Key", format: "{token}" },
  query: { as: "query", name: "key" },
  cookie: { as: "cookie", name: "session" },
};

function cleansed(spec: AttachmentSpec, lines: readonly Line[], target = "/p", dropHeaders: readonly string[] = []) {
  const attach = createAttachPort(TOOLS);
  const permit = permitFor(destination([spec], { dropHeaders }));
  const head = headOf(lines, target);
  attach.cleanse(permit, head);
  const bare = { lines: linesOf(head), target: head.target };
  attachNow(attach, permit, leaseOf(token(SECRET)), head, NOW_MS);
  return { bare, lines: linesOf(head), target: head.target };
}

describe("fields", () => {
  const evil: readonly Line[] = [
    ["authorization", "Bearer evil"],
    ["Host", "api.example.com"],
    ["AUTHORIZATION", "Basic ZXZpbDpldmls"],
    ["Authorization", ""],
    ["x-api-key", "evil"],
    ["X-API-KEY", "evil"],
    ["X_Api_Key", "evil"],
    ["Accept", "*/*"],
  ];

  test.each(["bearer", "basic"])("%s: every Authorization line goes", (name) => {
    const { bare, lines } = cleansed(SPECS[name] as AttachmentSpec, evil);
    const rest = ["Host: api.example.com", "x-api-key: evil", "X-API-KEY: evil", "X_Api_Key: evil", "Accept: */*"];
    expect(bare.lines).toEqual(rest);
    expect(lines.slice(0, -1)).toEqual(rest);
    expect(lines.at(-1)).toMatch(/^Authorization: /);
  });

  test("header: every spelling goes, the one with underscores as well", () => {
    const { bare, lines } = cleansed(SPECS["header"] as AttachmentSpec, evil);
    const rest = [
      "authorization: Bearer evil",
      "Host: api.example.com",
      "AUTHORIZATION: Basic ZXZpbDpldmls",
      "Authorization: ",
      "Accept: */*",
    ];
    expect(bare.lines).toEqual(rest);
    expect(lines).toEqual([...rest, `X-Api-Key: ${SECRET}`]);
  });

  test("drop_headers go as well, whatever is attached", () => {
    const { bare } = cleansed(SPECS["query"] as AttachmentSpec, evil, "/p", ["authorization", "x-api-key"]);
    expect(bare.lines).toEqual(["Host: api.example.com", "Accept: */*"]);
  });

  test("drop_headers go to a destination without a credential", () => {
    const attach = createAttachPort(TOOLS);
    const permit = permitFor(destination([], { credential: null, dropHeaders: ["x-api-key"] }));
    const head = headOf(evil);
    attach.cleanse(permit, head);
    expect(linesOf(head).join()).not.toMatch(/api[-_]key/i);
  });

  test("report mode: injected names go although no credential follows", () => {
    const attach = createAttachPort(TOOLS);
    const permit = permitFor(destination([SPECS["bearer"] as AttachmentSpec]), "path_not_allowed");
    const head = headOf(evil);
    attach.cleanse(permit, head);
    expect(linesOf(head).join()).not.toMatch(/authorization/i);
  });
});

describe("query", () => {
  const cut = (target: string, name = "key") => cleansed({ as: "query", name }, [], target).bare.target;

  test.each([
    ["/p?key=evil", "/p"],
    ["/p?key=evil&key=evil2", "/p"],
    ["/p?key", "/p"],
    ["/p?key=", "/p"],
    ["/p?a=1&key=evil&b=2", "/p?a=1&b=2"],
    ["/p?key=evil&b=2", "/p?b=2"],
    ["/p?a=1&key=evil", "/p?a=1"],
    ["/p?k%65y=evil&a=1", "/p?a=1"],
    ["/p?%6b%65%79=evil&a=1", "/p?a=1"],
    ["/p?%6B%65%79=evil&a=1", "/p?a=1"],
    ["/p?a=1;key=evil;b=2", "/p?a=1;b=2"],
    ["/p?a=1;key=evil&b=2", "/p?a=1&b=2"],
    ["/p?key=a=b&c", "/p?c"],
    ["/p??key=evil", "/p??key=evil"],
    ["/p?KEY=1&Key=2&key2=3&akey=4&a=key&a=%26key=x", "/p?KEY=1&Key=2&key2=3&akey=4&a=key&a=%26key=x"],
    ["/key=1/p?a=%6b&&b=%zz&%", "/key=1/p?a=%6b&&b=%zz&%"],
    ["/p?", "/p?"],
    ["/p?&", "/p?&"],
    ["/p?key=1&&", "/p?&"],
    ["/p", "/p"],
  ])("%s is cut to %s", (target, expected) => expect(cut(target)).toBe(expected));

  test("a plus sign is a blank", () => {
    expect(cut("/p?api+key=1&api%20key=2&api%2bkey=3", "api key")).toBe("/p?api%2bkey=3");
    expect(cut("/p?api+key=1&api%2Bkey=2", "api+key")).toBe("/p?api+key=1");
  });

  test("a key beyond ASCII is compared as UTF-8", () => {
    expect(cut("/p?cl%C3%A9=1&a=2", "clé")).toBe("/p?a=2");
  });

  test("a long query takes no longer than its length", () => {
    const target = `/p?${"a&".repeat(30_000)}`;
    expect(cut(target)).toBe(target);
  });
});

describe("cookies", () => {
  const cut = (...values: string[]) =>
    cleansed(
      SPECS["cookie"] as AttachmentSpec,
      values.map((value) => ["Cookie", value] as const),
    );

  test.each([
    ["session=evil", null],
    ["a=1; session=evil; b=2", "a=1; b=2"],
    ["session=evil; a=1", "a=1"],
    ["a=1; session=evil", "a=1"],
    ["a=1;session=evil;b=2", "a=1;b=2"],
    ["a=1; session = evil; b=2", "a=1; b=2"],
    ["a=1; session; b=2", "a=1; b=2"],
    ["session=evil; session=evil2; SESSION=3", "SESSION=3"],
    ['session="evil"; a="x y"', 'a="x y"'],
    ['a="; session=evil; b="', 'a="; b="'],
    ["a=1, session=evil; b=2", "a=1; b=2"],
    ["a=1 session=evil; b=2", "a=1; b=2"],
    ["%73ession=evil; a=%73", "a=%73"],
    ["session2=1; xsession=2; a=session; b=session=3", "session2=1; xsession=2; a=session; b=session=3"],
    ["a=my session; b=2", "a=my session; b=2"],
    ["a=1;  b=2 ;;c", "a=1;  b=2 ;;c"],
  ])("%s is cut to %s", (value, expected) => {
    const { bare, lines } = cut(value);
    expect(bare.lines).toEqual(expected === null ? [] : [`Cookie: ${expected}`]);
    expect(lines).toEqual([`Cookie: ${expected === null ? "" : `${expected}; `}session=${SECRET}`]);
  });

  test("every Cookie line is cut, and the credential joins the first that is left", () => {
    const { lines } = cut("session=evil", "a=1", "session=evil; b=2");
    expect(lines).toEqual([`Cookie: a=1; session=${SECRET}`, "Cookie: b=2"]);
  });

  test.each(["; ", ";;;", ""])("a line of nothing but %j", (value) => {
    expect(cut(value).lines).toEqual([`Cookie: session=${SECRET}`]);
  });

  test("long lines take no longer than their length", () => {
    for (const unit of [" a", ";", " ", "session ", "=", "a=1; "]) {
      const value = `x${unit.repeat(60_000 / unit.length)}x`;
      expect(cut(value).bare.lines).toEqual([`Cookie: ${value}`]);
    }
  });
});
