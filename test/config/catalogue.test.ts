import { describe, expect, test } from "vitest";
import { parseConfig, parseCustodyConfig } from "../../src/config/load.ts";
import { problemLine } from "../../src/config/problem.ts";
import { edgeFile } from "./support/edge-file.ts";

/** What stands beside the credentials of a custody: its store, and the mounts of its tenants. */

const entry = (name: string, source: string, more = ""): string =>
  `{ name: ${name}, kind: token, source: ${source}, hosts: ["api.example.com:443"]${more} }`;
const STORE = "store: { file: s.store, key: { file: s.key } }";

interface Catalogue {
  readonly credentials: readonly string[];
  readonly more?: readonly string[];
}

/** The same catalogue in a custody's config and embedded in an edge's. */
function both({ credentials, more = [] }: Catalogue) {
  const custody = [
    "listen: { address: unix:c.sock }",
    "audit: { file: a.jsonl }",
    `credentials: [${credentials.join(", ")}]`,
    ...more,
  ].join("\n");
  const embedded = `custody: { main: { embedded: { credentials: [${credentials.join(", ")}]${more.map((part) => `, ${part}`).join("")} } } }`;
  return {
    own: parseCustodyConfig(custody, "f", "/etc/postern"),
    embedded: parseConfig(edgeFile({ custody: embedded }), "f", "/etc/postern"),
  };
}

function messages(catalogue: Catalogue): string[] {
  const { own, embedded } = both(catalogue);
  const texts = [own, embedded].map((loaded) =>
    loaded.ok
      ? []
      : loaded.problems.map((problem) => problemLine(problem).replace(/^f:\d+:\d+: (custody\.main\.embedded\.)?/, "")),
  );
  expect(texts[1]).toEqual(texts[0]);
  return texts[0] ?? [];
}

test("a store and the mounts of tenants, in both kinds of config", () => {
  const { own, embedded } = both({
    credentials: [entry("a", "{ store: acme/openai }")],
    more: [STORE, 'tenants: { acme: { mounts: ["store://acme", "file:///run/acme"] } }'],
  });
  if (!own.ok || !embedded.ok) throw new Error(JSON.stringify([own, embedded]));
  const [custody] = embedded.config.custodies;
  for (const config of [own.config, custody])
    expect(config).toMatchObject({
      credentials: [{ name: "a", source: { from: "store", name: "acme/openai" } }],
      store: { file: "/etc/postern/s.store", key: { from: "file", path: "/etc/postern/s.key" } },
      tenantMounts: new Map([
        [
          "acme",
          [
            { provider: "store", engine: null, mount: "acme", path: [] },
            { provider: "file", engine: null, mount: "", path: ["run", "acme"] },
          ],
        ],
      ]),
    });
});

test.each(["{ env: STORE_KEY }", "{ exec: [./key, a] }"])("a key from %s", (key) => {
  expect(messages({ credentials: [], more: [`store: { file: s, key: ${key} }`] })).toEqual([]);
});

describe("is wrong where", () => {
  test.each<[string, Catalogue, string[]]>([
    [
      "an entry is kept in a store that is not there",
      { credentials: [entry("a", "{ store: openai }")] },
      ["store: missing: credentials are read from it: write store: { file: secrets.store, key: { file: store.key } }"],
    ],
    [
      "the store holds its own key",
      { credentials: [], more: ["store: { file: s, key: { file: ./s } }"] },
      ["store.key.file: the store cannot hold its own key: name another file"],
    ],
    [
      "the key is kept in a store",
      { credentials: [], more: ["store: { file: s, key: { store: k } }"] },
      [
        'store.key: write one of "env", "file", "exec" in it',
        "store.key.store: unknown key: known here: env, file, exec, timeout_ms",
      ],
    ],
    [
      "the name of an entry is none",
      { credentials: [entry("a", '{ store: "../x" }')], more: [STORE] },
      [expect.stringMatching(/^credentials\[0\].source.store: write 1 to 64 letters/) as string],
    ],
    [
      "a mount is none",
      {
        credentials: [],
        more: ['tenants: { acme: { mounts: [env, "store://acme/", "store://acme#x", "env://", "env://"] } }'],
      },
      [
        'tenants.acme.mounts[0]: "env": write "env://"',
        'tenants.acme.mounts[1]: "store://acme/": write "store://acme"',
        'tenants.acme.mounts[2]: "store://acme#x": write a mount such as "env://", "store://acme", "vault+kv2://team-a" or "file:///run/secrets/acme"',
        'tenants.acme.mounts[4]: "env://": written twice: keep one',
      ],
    ],
    [
      "a tenant of an entry can never get it",
      {
        credentials: [
          entry("a", "{ store: globex/x }", ", tenants: [acme, globex, other]"),
          entry("b", "{ file: /run/acme/x }", ", tenants: [acme]"),
          entry("c", "{ env: KEY }", ", tenants: [acme]"),
        ],
        more: [STORE, 'tenants: { acme: { mounts: ["store://acme"] }, globex: { mounts: ["store://globex"] } }'],
      },
      [
        'credentials[0].tenants[0]: "acme": under `tenants` it may not reach where this is kept: add "store://globex" to tenants.acme.mounts, or leave it out here',
        'credentials[0].tenants[2]: "other": under `tenants` it may not reach where this is kept: name the tenant with "store://globex" there, or leave it out here',
        'credentials[1].tenants[0]: "acme": under `tenants` it may not reach where this is kept: add "file:///run/acme/x" to tenants.acme.mounts, or leave it out here',
        'credentials[2].tenants[0]: "acme": under `tenants` it may not reach where this is kept: add "env://" to tenants.acme.mounts, or leave it out here',
      ],
    ],
    [
      "no tenant can ever get an entry",
      {
        credentials: [entry("a", "{ env: KEY }"), entry("b", "{ store: acme/x }")],
        more: [STORE, 'tenants: { acme: { mounts: ["store://acme"] } }'],
      },
      ['credentials[0].source: no tenant may reach it: add "env://" to the mounts of one under `tenants`'],
    ],
  ])("%s", (_what, catalogue, expected) => {
    expect(messages(catalogue)).toEqual(expected);
  });

  test("the section is broken itself: nothing else is told of it", () => {
    const found = messages({
      credentials: [entry("a", "{ store: openai }")],
      more: ["store: { file: s, key: {} }"],
    });
    expect(found).toEqual(['store.key: write one of "env", "file", "exec" in it']);
  });

  test("a key was pasted: it is not shown", () => {
    const key = "sk-live-9f8A7b6C5d4E3f2A1b0C";
    const { own, embedded } = both({
      credentials: [entry("a", `{ store: ${key} }`)],
      more: [`store: { file: s, key: ${key} }`, `tenants: { acme: { mounts: [${key}] } }`],
    });
    for (const loaded of [own, embedded]) {
      const found = loaded.ok ? [] : loaded.problems.map(problemLine);
      expect(found.length).toBeGreaterThan(1);
      expect(found.join("\n")).not.toContain(key);
    }
  });
});

describe("a file that custody writes is nothing else", () => {
  const rotated = (state: string): string =>
    `{ name: r, source: { file: r.seed }, hosts: ["api.example.com:443"], mint: { as: oauth2_refresh_token, token_endpoint: { url: "https://issuer.example.com/token" }, client: { id: c, auth: none }, state: ${state} } }`;

  test.each<[string, Catalogue, string]>([
    [
      "the store, and a root",
      { credentials: [entry("a", "{ store: x }"), entry("b", "{ file: s.store }")], more: [STORE] },
      'store.file: credential "b" has this file: write a different one',
    ],
    [
      "a rotated root, and the store",
      { credentials: [entry("a", "{ store: x }"), rotated("s.store")], more: [STORE] },
      "credentials[1].mint.state: the store has this file: write a different one",
    ],
    [
      "a rotated root, and its seed",
      { credentials: [rotated("r.seed")] },
      'credentials[0].mint.state: credential "r" has this file: write a different one',
    ],
  ])("%s", (_what, catalogue, told) => {
    expect(messages(catalogue)).toEqual([told]);
  });

  test.each<[string, string, string]>([
    ["state: r.state", rotated("r.state"), 'state: the mint of credential "r" has this file'],
    ["state: k", entry("a", "{ file: k }"), 'state: credential "a" has this file'],
    ["", entry("a", "{ file: a.state }"), 'audit.file: credential "a" has this file'],
    ["", entry("a", "{ file: a.jsonl }"), 'audit.file: credential "a" has this file'],
  ])("nor are the audit and the state: %s %s", (more, credential, told) => {
    const text = `listen: { address: unix:c.sock }\naudit: { file: a.jsonl }\ncredentials: [${credential}]\n${more}`;
    const loaded = parseCustodyConfig(text, "f", "/etc/postern");
    expect(loaded.ok ? [] : loaded.problems.map(problemLine)).toEqual([expect.stringContaining(told)]);
  });
});

test("tenants are not told apart by mounts of one name on two vaults", () => {
  const vault = (name: string): string =>
    `${name}: { address: "https://${name}.internal:8200", login: { approle: { role_id: r, secret_id: { env: SID } } } }`;
  const at = (server: string, path: string): string => `{ vault: ${server}, path: ${path}, field: f }`;
  const tenants = 'tenants: { acme: { mounts: ["vault+kv2://kv", "vault+kv2://own"] } }';
  const more = [`vaults: { ${vault("one")}, ${vault("two")} }`];
  const apart = [entry("a", at("one", "kv/x")), entry("b", at("one", "kv/y")), entry("c", at("two", "own/x"))];
  expect(messages({ credentials: apart, more: [...more, tenants] })).toEqual([]);
  const alike = [...apart, entry("d", at("two", "kv/x"))];
  expect(messages({ credentials: alike, more })).toEqual([]);
  expect(messages({ credentials: alike, more: [...more, tenants] })).toEqual([
    'credentials[3].source: vault "one" has a mount "kv" as well, and `tenants` tells mounts apart by their names alone: run a custody for each vault, or name the mounts apart',
  ]);
});
