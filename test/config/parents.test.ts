import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parseConfig } from "../../src/config/load.ts";
import { warningsOf } from "../../src/config/warnings.ts";
import type { PosternConfig } from "../../src/config/config.ts";
import { ALL, destination, edgeFile, messagesOf } from "./support/edge-file.ts";

/** `upstream.parents`, `upstream.parent` and `parent:` of a destination. */

const CUSTODY = `custody:
  main:
    embedded:
      credentials:
        - { name: corp, kind: userpass, username: edge, source: { env: CORP }, hosts: ["proxy.corp.example:3128"] }
        - { name: value, kind: header, source: { env: CORP }, hosts: ["proxy.corp.example:3128"] }`;

const withParent = (parent: string, more = ""): string =>
  edgeFile({
    custody: CUSTODY,
    destinations: destination(ALL),
    more: `upstream: { parents: { corp: ${parent} }${more} }`,
  });
const PARENT = "upstream.parents.corp";

function configOf(text: string): PosternConfig {
  const loaded = parseConfig(text, "edge.yaml", "/etc/postern");
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return loaded.config;
}

const wayOf = (text: string): unknown =>
  configOf(text).destinations.map(({ destination: { parent } }) => parent?.name ?? null);

describe("which way a destination goes", () => {
  const two = "upstream: { parents: { a: { address: a.corp:3128 }, b: { address: b.corp:3128 } }";
  test.each([
    ["directly, unless something is said", `${two} }`, "", null],
    ["through the parent of all", `${two}, parent: a }`, "", "a"],
    ["through its own", `${two}, parent: a }`, "parent: b, ", "b"],
    ["directly, where that is said", `${two}, parent: a }`, "parent: direct, ", null],
    ["through its own, where there is none for all", `${two} }`, "parent: b, ", "b"],
    ["directly, said for all", `${two}, parent: direct }`, "", null],
  ])("%s", (_name, more, own, expected) => {
    expect(wayOf(edgeFile({ destinations: destination(own + ALL), more }))).toEqual([expected]);
  });
});

test("what is left out is strict: by checked address, no further range, no credential", () => {
  const [parent] = configOf(withParent("{ address: proxy.corp.example:3128 }")).parents;
  expect(parent).toMatchObject({
    name: "corp",
    address: "proxy.corp.example:3128",
    connectBy: "address",
    destination: {
      name: "corp",
      scheme: "http",
      credential: null,
      attachments: [],
      addresses: [],
      trust: null,
      synthetic: null,
      parent: null,
    },
  });
});

test("all that can be said", () => {
  const text = withParent(
    "{ address: proxy.corp.example:3128, tls: { server_name: proxy.internal }, connect_by: name, addresses: [10.0.0.5], credential: corp, attach: { as: basic } }",
    ", parent: corp",
  );
  expect(configOf(text).parents[0]).toMatchObject({
    connectBy: "name",
    serverName: "proxy.internal",
    destination: {
      scheme: "https",
      credential: { custody: "main", name: "corp" },
      attachments: [{ as: "basic", username: null }],
      addresses: [{ prefix: 32 }],
    },
  });
});

describe("problems", () => {
  const SAFE = "address: proxy.corp.example:3128, tls: {}";
  test.each([
    [
      "no port",
      withParent("{ address: proxy.corp.example }"),
      `${PARENT}.address: "proxy.corp.example": write host:port, such as "proxy.corp.example:3128"`,
    ],
    [
      "a URL",
      withParent('{ address: "http://proxy.corp.example:3128/" }'),
      `${PARENT}.address: "http://proxy.corp.example:3128/": write "proxy.corp.example:3128"`,
    ],
    [
      "a URL over TLS",
      withParent('{ address: "https://proxy.corp.example:3128" }'),
      `${PARENT}.address: "https://proxy.corp.example:3128": write "proxy.corp.example:3128", and tls: {}`,
    ],
    [
      "another spelling",
      withParent("{ address: Proxy.corp.example:3128 }"),
      `${PARENT}.address: "Proxy.corp.example:3128": write "proxy.corp.example:3128"`,
    ],
    [
      "a guest listener",
      withParent("{ address: 127.0.0.1:3128 }"),
      `${PARENT}.address: "127.0.0.1:3128": this is listener "guests" of the edge itself: write the parent's address`,
    ],
    [
      "the same by its name",
      withParent("{ address: localhost:3128 }"),
      `${PARENT}.address: "localhost:3128": this is listener "guests" of the edge itself: write the parent's address`,
    ],
    [
      "a misspelt key",
      withParent("{ address: a.corp:3128, connect_bye: name }"),
      `${PARENT}.connect_bye: unknown key: write "connect_by"`,
    ],
    [
      "a TLS switch",
      withParent("{ address: a.corp:3128, tls: true }"),
      `${PARENT}.tls: true: write {} for the usual roots and name, or leave it out for a parent in the clear`,
    ],
    [
      "a list of parents",
      edgeFile({ more: "upstream: { parents: [{ name: corp, address: a.corp:3128 }] }" }),
      'upstream.parents: write a mapping of names, such as corp: { address: "proxy.corp.example:3128" }',
    ],
    [
      "a parent spelled out where its name belongs",
      edgeFile({ more: "upstream: { parent: { address: a.corp:3128 } }" }),
      'upstream.parent: write the name of one of `upstream.parents`, or "direct"',
    ],
    [
      "a third way to connect",
      withParent("{ address: a.corp:3128, connect_by: both }"),
      `${PARENT}.connect_by: "both": write one of "address", "name"`,
    ],
    [
      "every address",
      withParent('{ address: a.corp:3128, addresses: ["0.0.0.0/0"] }'),
      `${PARENT}.addresses[0]: "0.0.0.0/0": covers every address: write the blocks that are meant`,
    ],
    [
      "a credential in the clear",
      withParent("{ address: proxy.corp.example:3128, credential: corp, attach: { as: basic } }"),
      `${PARENT}.credential: would travel readable to the parent: write \`tls: {}\` where it speaks TLS, or accept it with \`plain_http_credential: accept\``,
    ],
    [
      "accepted in the clear over TLS",
      withParent(`{ ${SAFE}, credential: corp, attach: { as: basic }, plain_http_credential: accept }`),
      `${PARENT}.plain_http_credential: the parent is spoken to over TLS: leave it out`,
    ],
    [
      "accepted for nothing",
      withParent(`{ ${SAFE}, plain_http_credential: accept }`),
      `${PARENT}.plain_http_credential: there is no credential to accept it for: leave it out`,
    ],
    [
      "a credential for another place",
      withParent("{ address: other.corp.example:3128, tls: {}, credential: corp, attach: { as: basic } }"),
      `${PARENT}.credential: credential "corp" is not issued for other.corp.example:3128: add "other.corp.example:3128" to its hosts`,
    ],
    [
      "an unknown credential",
      withParent(`{ ${SAFE}, credential: crop, attach: { as: basic } }`),
      `${PARENT}.credential: "crop": custody "main" holds no such credential: write "main/corp"`,
    ],
    [
      "no way to say it",
      withParent(`{ ${SAFE}, credential: corp }`),
      `${PARENT}.attach: missing: say how the credential is said, such as attach: { as: basic }`,
    ],
    [
      "nothing to say",
      withParent(`{ ${SAFE}, attach: { as: basic } }`),
      `${PARENT}.attach: nothing to attach: write \`credential:\` as well, or leave it out`,
    ],
    [
      "a server name that is none",
      withParent('{ address: a.corp:3128, tls: { server_name: "a b" } }'),
      `${PARENT}.tls.server_name: "a b": write a name such as "proxy.corp.example"`,
    ],
    [
      "an unknown parent for all",
      withParent("{ address: a.corp:3128 }", ", parent: crop"),
      'upstream.parent: "crop": no parent has this name: write "corp"',
    ],
    [
      "an unknown parent of a destination",
      edgeFile({ destinations: destination(`${ALL}, parent: nowhere`) }),
      'destinations[0].parent: "nowhere": no parent has this name: add it to upstream.parents',
    ],
  ])("%s", (_name, text, message) => {
    expect(messagesOf(text)).toEqual([message]);
  });

  test("a parent called direct", () => {
    const text = edgeFile({ more: "upstream: { parents: { direct: { address: a.corp:3128 } } }" });
    expect(messagesOf(text)).toEqual([
      'upstream.parents.direct: "direct": says that there is no parent: write a different name',
    ]);
  });

  test("a header credential is neither basic nor bearer", () => {
    for (const as of ["basic", "bearer"])
      expect(messagesOf(withParent(`{ ${SAFE}, credential: value, attach: { as: ${as} } }`))).toHaveLength(1);
    expect(messagesOf(withParent(`{ ${SAFE}, credential: value, attach: { as: header, name: x } }`))).toHaveLength(1);
  });

  test("whoever names a broken parent is told nothing more", () => {
    const text = edgeFile({
      destinations: destination(`${ALL}, parent: corp`),
      more: "upstream: { parents: { corp: { adress: a.corp:3128 } }, parent: corp }",
    });
    expect(messagesOf(text)).toEqual([
      `${PARENT}.address: missing: write text`,
      `${PARENT}.adress: unknown key: write "address"`,
    ]);
  });
});

describe("warnings", () => {
  const about = (text: string): readonly string[] => warningsOf(configOf(text)).filter((line) => /parent/.test(line));
  test("a parent that nobody uses", () => {
    expect(about(withParent("{ address: a.corp:3128 }"))).toEqual([
      "parent corp: no destination goes through it: take it out",
    ]);
  });

  test("a credential in the clear that was accepted", () => {
    const text = withParent(
      "{ address: proxy.corp.example:3128, credential: corp, attach: { as: basic }, plain_http_credential: accept }",
      ", parent: corp",
    );
    expect(about(text)).toEqual([
      "parent corp: the credential travels readable over http: write tls where the parent has it",
    ]);
    expect(warningsOf(configOf(text)).join("\n")).not.toContain("main/corp: no destination uses it");
  });

  test("addresses that nobody looks at", () => {
    const text = edgeFile({
      destinations: destination(`${ALL}, addresses: [10.0.0.0/8]`),
      more: "upstream: { parents: { corp: { address: a.corp:3128, connect_by: name } }, parent: corp }",
    });
    expect(about(text)).toEqual([
      "destination api: addresses are not looked at where a parent resolves the name: leave them out, or write connect_by: address",
    ]);
  });
});

describe("roots of a parent", () => {
  const dir = mkdtempSync(join(tmpdir(), "postern-parents-"));
  afterAll(() => rmSync(dir, { recursive: true }));

  test("a file that holds none", () => {
    writeFileSync(join(dir, "empty.pem"), "");
    const text = withParent(`{ address: a.corp:3128, tls: { trust: ${join(dir, "empty.pem")} } }`);
    expect(messagesOf(text)[0]).toMatch(/^upstream\.parents\.corp\.tls\.trust: /);
  });
});
