import { describe, expect, test } from "vitest";
import { createAttachPort } from "../../src/attach/attach.ts";
import type { AttachmentSpec } from "../../src/core/destination.ts";
import type { Material } from "../../src/core/material.ts";
import { Secret } from "../../src/core/secret.ts";
import {
  denialOf,
  destination,
  headerValue,
  headOf,
  leaseOf,
  type Line,
  linesOf,
  NOW_MS,
  permitFor,
  token,
  userpass,
  TOOLS,
  attachNow,
} from "./exchange.ts";

/** Each attachment with each kind of material: what goes on the wire, or why it is refused. */

const STAND_IN = "sk-postern-example";

const materials: Readonly<Record<Material["kind"], () => Material>> = {
  token: () => token("tok-0123456789"),
  userpass: () => userpass("robot", "pass-0123456789"),
  header: () => headerValue("Custom abc-0123456789"),
  aws: () => ({
    kind: "aws",
    accessKeyId: "AKIAPOSTERN",
    secretAccessKey: Secret.of("aws-0123456789"),
    sessionToken: Secret.of("session-0123456789"),
  }),
  signing_key: () => ({ kind: "signing_key", keyId: "k1", key: Secret.of("key-0123456789") }),
  client_certificate: () => ({ kind: "client_certificate", chain: "chain", key: Secret.of("pem-0123456789") }),
  dpop: () => ({ kind: "dpop", token: Secret.of("dpop-0123456789"), key: null, publicJwk: "{}" }),
};

const bearer: AttachmentSpec = { as: "bearer" };
const basic: AttachmentSpec = { as: "basic", username: null };
const basicAs: AttachmentSpec = { as: "basic", username: "x-access-token" };
const header: AttachmentSpec = { as: "header", name: "X-Api-Key", format: "{token}" };
const query: AttachmentSpec = { as: "query", name: "key" };
const cookie: AttachmentSpec = { as: "cookie", name: "session" };
const placeholder: AttachmentSpec = {
  as: "placeholder",
  value: STAND_IN,
  spots: [
    { in: "header", name: "authorization" },
    { in: "query", name: "key" },
  ],
};
const formatted = (format: string): AttachmentSpec => ({ as: "header", name: "Authorization", format });

const base64 = (text: string) => Buffer.from(text, "utf8").toString("base64");
const REFUSED = null;

type Row = readonly [string, AttachmentSpec, Material["kind"], readonly string[] | null];

const table: readonly Row[] = [
  ["bearer", bearer, "token", ["Authorization: Bearer tok-0123456789"]],
  ["bearer", bearer, "userpass", REFUSED],
  ["bearer", bearer, "header", REFUSED],
  ["basic", basic, "userpass", [`Authorization: Basic ${base64("robot:pass-0123456789")}`]],
  ["basic", basic, "token", REFUSED],
  ["basic", basic, "header", REFUSED],
  ["basic with a user name", basicAs, "token", [`Authorization: Basic ${base64("x-access-token:tok-0123456789")}`]],
  ["basic with a user name", basicAs, "userpass", [`Authorization: Basic ${base64("x-access-token:pass-0123456789")}`]],
  ["basic with a user name", basicAs, "header", REFUSED],
  ["header", header, "token", ["X-Api-Key: tok-0123456789"]],
  ["header", header, "userpass", ["X-Api-Key: pass-0123456789"]],
  ["header", header, "header", ["X-Api-Key: Custom abc-0123456789"]],
  ["header format token {token}", formatted("token {token}"), "token", ["Authorization: token tok-0123456789"]],
  ["header format Bearer {token}", formatted("Bearer {token}"), "token", ["Authorization: Bearer tok-0123456789"]],
  ["header format {value}", formatted("{value}"), "header", ["Authorization: Custom abc-0123456789"]],
  [
    "header format with both",
    formatted("u={username} p={password}"),
    "userpass",
    ["Authorization: u=robot p=pass-0123456789"],
  ],
  ["header format with both", formatted("u={username} p={password}"), "token", REFUSED],
  ["header format without a place", formatted("Bearer"), "token", REFUSED],
  ["header format with a user name only", formatted("{username}"), "userpass", REFUSED],
  ["header format with other braces", formatted('{"k":"{token}"}'), "token", ['Authorization: {"k":"tok-0123456789"}']],
  ["query", query, "token", []],
  ["query", query, "header", []],
  ["query", query, "userpass", REFUSED],
  ["cookie", cookie, "token", ["Cookie: session=tok-0123456789"]],
  ["cookie", cookie, "header", REFUSED],
  ["cookie", cookie, "userpass", REFUSED],
];

/** Their secrets sign or prove: no attachment that sends texts may send them. */
const neverTexts = (["aws", "signing_key", "client_certificate", "dpop"] as const).flatMap((kind) =>
  [bearer, basicAs, header, query, cookie, placeholder].map((spec): Row => [spec.as, spec, kind, REFUSED]),
);

const host: Line = ["Host", "api.example.com"];

describe("each attachment with each kind of material", () => {
  test.each([...table, ...neverTexts])("%s: %j with %s", (_, spec, kind, expected) => {
    const attach = createAttachPort(TOOLS);
    const permit = permitFor(destination([spec]));
    const head = headOf([host]);
    attach.cleanse(permit, head);
    const denial = denialOf(() => attachNow(attach, permit, leaseOf(materials[kind]()), head, NOW_MS));
    if (expected === REFUSED) {
      expect(denial?.code).toBe("lease_unusable");
      expect(denial?.detail).not.toMatch(/0123456789/);
      expect(linesOf(head)).toEqual(["Host: api.example.com"]);
      expect(head.target).toBe("/v1/items");
    } else {
      expect(denial).toBeNull();
      expect(linesOf(head)).toEqual(["Host: api.example.com", ...expected]);
    }
  });

  test.each([
    ["token", "tok-0123456789"],
    ["header", "Custom abc-0123456789"],
    ["userpass", "pass-0123456789"],
  ] as const)("placeholder with %s", (kind, secret) => {
    const attach = createAttachPort(TOOLS, [STAND_IN]);
    const permit = permitFor(destination([placeholder]));
    const head = headOf([host, ["authorization", `Bearer ${STAND_IN}`]]);
    attach.cleanse(permit, head);
    attachNow(attach, permit, leaseOf(materials[kind]()), head, NOW_MS);
    expect(linesOf(head)).toEqual(["Host: api.example.com", `authorization: Bearer ${secret}`]);
  });
});

describe("what no head may hold", () => {
  const broken = ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "a\u0007b", "a\u007fb", ""];
  const specs = [bearer, basic, basicAs, header, query, cookie, placeholder];
  const kinds = [token, headerValue, (text: string) => userpass("robot", text)];

  test.each(broken)("material %j is refused by every attachment", (text) => {
    for (const spec of specs) {
      for (const make of kinds) {
        const attach = createAttachPort(TOOLS);
        const permit = permitFor(destination([spec]));
        const head = headOf([host, ["Authorization", `Bearer ${STAND_IN}`]]);
        attach.cleanse(permit, head);
        const before = head.fields.render();
        expect(denialOf(() => attachNow(attach, permit, leaseOf(make(text)), head, NOW_MS))?.code).toBe(
          "lease_unusable",
        );
        expect(head.fields.render()).toBe(before);
      }
    }
  });

  test.each([
    ["bearer", bearer],
    ["header", header],
    ["cookie", cookie],
    ["placeholder", placeholder],
  ])("%s refuses what has no Latin-1 byte", (_, spec) => {
    const attach = createAttachPort(TOOLS);
    const permit = permitFor(destination([spec]));
    const head = headOf([["Authorization", STAND_IN]]);
    attach.cleanse(permit, head);
    const denial = denialOf(() => attachNow(attach, permit, leaseOf(token("geheim-\u4e2d")), head, NOW_MS));
    expect(denial?.code).toBe("lease_unusable");
  });

  test("basic encodes any text as UTF-8", () => {
    const attach = createAttachPort(TOOLS);
    const permit = permitFor(destination([basic]));
    const head = headOf([]);
    attachNow(attach, permit, leaseOf(userpass("üser", "geheim-\u4e2d")), head, NOW_MS);
    expect(linesOf(head)).toEqual([`Authorization: Basic ${base64("üser:geheim-\u4e2d")}`]);
  });

  test.each([" tok-0123456789", "tok-0123456789 ", "tok-0123456789\t"])("blanks at an end of %j", (text) => {
    const attach = createAttachPort(TOOLS);
    const permit = permitFor(destination([header]));
    const head = headOf([]);
    expect(denialOf(() => attachNow(attach, permit, leaseOf(token(text)), head, NOW_MS))?.code).toBe("lease_unusable");
  });

  test("a user name with a colon would end early", () => {
    const attach = createAttachPort(TOOLS);
    const permit = permitFor(destination([basic]));
    const run = () => attachNow(attach, permit, leaseOf(userpass("a:b", "c")), headOf([]), NOW_MS);
    expect(denialOf(run)?.code).toBe("lease_unusable");
  });

  test.each(["a b", "a;b", "a,b", 'a"b', "a\\b", "ä"])("cookie value %j", (text) => {
    const attach = createAttachPort(TOOLS);
    const permit = permitFor(destination([cookie]));
    const run = () => attachNow(attach, permit, leaseOf(token(text)), headOf([]), NOW_MS);
    expect(denialOf(run)?.code).toBe("lease_unusable");
  });

  test.each(["x key", "x:key", "", "x\r\nkey"])("a field name %j that the config should have refused", (name) => {
    const attach = createAttachPort(TOOLS);
    const permit = permitFor(destination([{ as: "header", name, format: "{token}" }]));
    const run = () => attachNow(attach, permit, leaseOf(token("tok-0123456789")), headOf([]), NOW_MS);
    expect(denialOf(run)?.code).toBe("lease_unusable");
  });
});

describe("query", () => {
  const attached = (target: string, secret = "s3cr3t", name = "key") => {
    const attach = createAttachPort(TOOLS);
    const permit = permitFor(destination([{ as: "query", name }]));
    const head = headOf([], target);
    attach.cleanse(permit, head);
    attachNow(attach, permit, leaseOf(token(secret)), head, NOW_MS);
    return head.target;
  };

  test.each([
    ["/", "/?key=s3cr3t"],
    ["/p?", "/p?key=s3cr3t"],
    ["/p?a=1", "/p?a=1&key=s3cr3t"],
    ["/p?a=1&", "/p?a=1&key=s3cr3t"],
    ["/p?key=x", "/p?key=s3cr3t"],
    ["/p?a=%2f&&b", "/p?a=%2f&&b&key=s3cr3t"],
  ])("%s goes out as %s", (target, expected) => expect(attached(target)).toBe(expected));

  test("everything but the unreserved characters is encoded, in name and value", () => {
    expect(attached("/", "a b&c=d#e?f+g%h!'()*~-._é/", "k[0]")).toBe(
      "/?k%5B0%5D=a%20b%26c%3Dd%23e%3Ff%2Bg%25h%21%27%28%29%2A~-._%C3%A9%2F",
    );
  });

  test.each(["/p#frag", "/p?a#b", "*", "http://api.example.com/"])("a target %s that no query can follow", (target) => {
    expect(denialOf(() => attached(target))?.code).toBe("lease_unusable");
  });
});
