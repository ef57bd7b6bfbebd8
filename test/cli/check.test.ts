import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { runProgram } from "../../src/cli/program.ts";
import { fakeTerminal } from "./support/terminal.ts";

/** `postern check` and `postern explain` on real files; no name is asked of a real resolver. */

const dir = mkdtempSync(join(tmpdir(), "postern-check-"));
afterAll(() => rmSync(dir, { recursive: true }));

const EDGE = `listeners:
  - { name: guests, address: "127.0.0.1:3128", session: { mode: open } }
  - { name: ci, address: unix:ci.sock, session: { mode: listener, tenant: acme, id: ci-7 } }
admin: { address: "127.0.0.1:9464" }
ca: { certificate: ca.crt, key: ca.key }
audit: { file: audit.jsonl }
resolver:
  hosts: { api.example.com: [203.0.112.9], inner.example.com: [10.0.0.7, 203.0.112.9], loop.example.com: [127.0.0.1] }
custody:
  main:
    embedded:
      credentials:
        - { name: key, kind: token, source: { env: KEY }, hosts: ["api.example.com:443"] }
        - { name: idle, kind: token, source: { exec: [mint, sk-live-argument] }, hosts: ["b.com:443"] }
destinations:
  - name: api
    host: api.example.com
    allow:
      - { methods: [GET, POST], paths: [/v1/**] }
      - { methods: ["*"], paths: [/v2/items/*], headers: { x-mode: [safe] } }
    credential: key
    attach: { as: query, name: k }
  - { name: inner, host: inner.example.com, allow: [{ methods: [GET], paths: [/**] }] }
  - { name: watched, host: watched.example.com, mode: report, allow: [{ methods: [GET], paths: [/ok] }] }
  - { name: tunnel, host: loop.example.com, port: 3128, tls: passthrough, addresses: [127.0.0.0/8] }
`;

const CUSTODY = `listen: { address: unix:custody.sock }
credentials: [{ name: key, kind: token, source: { file: key.txt }, hosts: ["api.example.com:443"] }]
audit: { file: audit.jsonl }
`;

function write(name: string, text: string): string {
  writeFileSync(join(dir, name), text);
  return name;
}

const entries = [
  { name: "check", summary: "", load: () => import("../../src/cli/check.ts") },
  { name: "explain", summary: "", load: () => import("../../src/cli/explain.ts") },
];

async function postern(...words: string[]) {
  const terminal = fakeTerminal(dir, { KEY: "value" });
  const code = await runProgram(entries, "0", words, terminal);
  return { code, out: terminal.stdout, err: terminal.stderr };
}

write("edge.yaml", EDGE);

describe("check", () => {
  test("tells what a config means", async () => {
    const { code, out, err } = await postern("check", "--config", "edge.yaml");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const lines = out.split("\n").map((line) => line.trim().replaceAll(/ {2,}/g, " | "));
    expect(lines[0]).toMatch(/^edge\.yaml is right \(sha256 [0-9a-f]{12}\)$/);
    expect(lines).toEqual(
      expect.arrayContaining([
        "guests | 127.0.0.1:3128 | HTTP | everybody is session local of tenant local, workspace default",
        `ci | unix:${dir}/ci.sock | HTTP, mode 0660 | belongs to session ci-7 of tenant acme, workspace default`,
        "key | token | env KEY | api.example.com:443 | 900 s",
        "idle | token | exec mint | b.com:443 | 900 s",
        "destinations: 4",
        "api | api.example.com:443 | https | inspect | auto | enforce | GET,POST /v1/** and 1 more | main/key as query k",
        "watched | watched.example.com:443 | https | inspect | auto | report | GET /ok | -",
        "tunnel | loop.example.com:3128 | https | passthrough | - | enforce | everything, unseen | -",
        "credential main/idle: no destination uses it: take it out",
        "destination watched: mode: report lets through what would be denied: write enforce once the counts are quiet",
        "destination api: a query parameter shows in the upstream's logs: attach as a header where the upstream takes one",
        `ca: ${dir}/ca.key cannot be read here (ENOENT): put it there before the start, or make one with \`postern ca init\``,
      ]),
    );
    // Arguments of a helper may be secret, and values of variables are.
    expect(out).not.toContain("sk-live-argument");
    expect(out).not.toContain("value");
  });

  test("--json tells the same to programs", async () => {
    const { code, out } = await postern("check", "--config", "edge.yaml", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      ok: true,
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      listeners: [{ name: "guests", session: { mode: "open", id: "local" } }, { name: "ci" }],
      destinations: [{ name: "api", host: "api.example.com", port: 443, credential: "main/key" }, {}, {}, {}],
    });
    expect(out).not.toContain("sk-live-argument");
  });

  test("tells how guests get to each listener, and which files are not there", async () => {
    const session = (id: string): string => `session: { mode: open, id: ${id} }`;
    const listeners = `listeners:
  - { name: t, address: "127.0.0.1:1", tls: { certificate: e.crt, key: e.key, client_ca: g.crt, client_certificates: required }, ${session("a")} }
  - { name: s, address: "127.0.0.1:2", protocol: socks5, proxy_protocol: { from: [10.0.0.7] }, ${session("b")} }
  - { name: u, address: unix:u.sock, socket: { mode: "0600", owner: "7:8" }, proxy_protocol: { from: unix }, ${session("c")} }
audit: { file: audit.jsonl }
`;
    const file = write("ways.yaml", listeners);
    const { out } = await postern("check", "--config", file);
    const lines = out.split("\n").map((line) => line.trim().replaceAll(/ {2,}/g, " | "));
    expect(lines).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^t \| 127\.0\.0\.1:1 \| HTTP over TLS, client certificates required \| everybody/),
        expect.stringMatching(/^s \| 127\.0\.0\.1:2 \| SOCKS5, PROXY protocol from 10\.0\.0\.7\/32 \| everybody/),
        expect.stringMatching(/\| HTTP, PROXY protocol from whoever is there, mode 0600 of 7:8 \| everybody/),
        ...["e.crt", "e.key", "g.crt"].map(
          (name) => `${dir}/${name} cannot be read here (ENOENT): put it there before the start`,
        ),
      ]),
    );
    const { out: json } = await postern("check", "--config", file, "--json");
    expect(JSON.parse(json)).toMatchObject({
      listeners: [
        { protocol: "http", tls: true, client_certificates: "required", proxy_protocol: null, socket: null },
        { protocol: "socks5", tls: false, client_certificates: null, proxy_protocol: ["10.0.0.7/32"] },
        { proxy_protocol: "unix", socket: { mode: "0600", owner: { uid: 7, gid: 8 } } },
      ],
    });
  });

  test("more than 50 destinations are counted", async () => {
    const many = Array.from({ length: 60 }, (_, i) => `  - { name: m${i}, host: m${i}.com, tls: passthrough }\n`).join(
      "",
    );
    const { out } = await postern("check", "--config", write("many.yaml", EDGE + many));
    expect(out).toContain("destinations: 64\n");
    expect(out).toContain("m45.com:443");
    expect(out).not.toContain("m46.com:443");
    expect(out).toContain("  and 14 more\n");
  });

  const BROKEN = EDGE.replace("host: api.example.com", "host: Api.example.com").replace("GET, POST", "get, POST");

  test("all problems, with exit code 2, nothing on standard output", async () => {
    const { code, out, err } = await postern("check", "--config", write("broken.yaml", BROKEN));
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err.split("\n")).toEqual([
      `broken.yaml:17:11: destinations[0].host: "Api.example.com": write "api.example.com"`,
      'broken.yaml:19:21: destinations[0].allow[0].methods[0]: "get": write "GET"',
      "2 problems: nothing was done",
      "",
    ]);
  });

  test("what the policy cannot compile has its place, too", async () => {
    const text = EDGE.replace("headers: { x-mode: [safe] }", "query: { q: [a], Q: [b] }");
    const { code, err } = await postern("check", "--config", write("policy.yaml", text));
    expect(code).toBe(2);
    expect(err).toContain('policy.yaml:20:69: destinations[0].allow[1].query.Q: servers take "Q" for the same key');
  });

  test("problems as JSON go to standard output", async () => {
    const { code, out, err } = await postern("check", "--json", "--config", write("broken.yaml", BROKEN));
    expect({ code, err }).toEqual({ code: 2, err: "" });
    expect(JSON.parse(out)).toMatchObject({
      ok: false,
      problems: [{ line: 17, path: "destinations[0].host" }, { line: 19 }],
    });
  });

  test("tells the store of a custody and what its tenants may reach, and what of it is not there", async () => {
    const beside = [
      "store: { file: none.store, key: { env: STORE_KEY } }",
      'tenants: { acme: { mounts: ["file:///run/secrets", "store://acme"] } }',
    ];
    const entry = CUSTODY.replace("file: key.txt", "store: acme/key");
    const name = write("stored.yaml", [entry, ...beside].join("\n"));
    const { code, out } = await postern("check", "--custody", "--config", name);
    expect(code).toBe(0);
    expect(out).toContain(`store\n  ${join(dir, "none.store")} (key from env STORE_KEY)\n`);
    expect(out).toContain("  acme  file:///run/secrets, store://acme\n");
    expect(out).toMatch(/store: .*none\.store cannot be read here \(ENOENT\).*postern custody secret set NAME/);
    expect(out).toContain("STORE_KEY, its key, is not set here");
    const json = await postern("check", "--custody", "--json", "--config", name);
    expect(JSON.parse(json.out)).toMatchObject({
      store: { file: join(dir, "none.store"), key: "env STORE_KEY" },
      tenants: { acme: ["file:///run/secrets", "store://acme"] },
    });
  });

  test("tells what leases are minted by, narrowed within and to, and what an operator has to approve", async () => {
    const minted = `{ name: app, source: { file: key.txt }, hosts: ["api.example.com:443"], mint: { as: signed_jwt, algorithm: ES256, ttl_seconds: 60, issuer: c, audiences: [a], scopes: [s1, s2, s3, s4, s5, s6] } }`;
    write(
      "minted.yaml",
      EDGE.replace("      credentials:\n", `      credentials:\n        - ${minted}\n`)
        .replace("credential: key", "credential: app\n    narrow: { scopes: [s1] }")
        .replace("as: query, name: k", "as: bearer"),
    );
    const { out } = await postern("check", "-c", "minted.yaml");
    expect(out).toContain("by signed_jwt (scopes s1, s2, s3, s4, s5 and 1 more; audiences a)");
    expect(out).toContain("main/app (scopes s1) as bearer");
    const json = JSON.parse((await postern("check", "-c", "minted.yaml", "--json")).out) as object;
    expect(json).toMatchObject({
      custodies: [{ credentials: [{ name: "app", narrow_within: { audiences: ["a"] } }, {}, {}] }],
      destinations: [{ narrow: { scopes: ["s1"] } }, { narrow: null }, {}, {}],
    });
    const operators = `operators: { address: unix:operators.sock }\n`;
    write("approved.yaml", CUSTODY.replace('443"] }]', '443"], approval: required, max_uses: 2 }]') + operators);
    const approved = await postern("check", "--custody", "-c", "approved.yaml");
    expect(approved.out).toContain("900 s, 2 uses, approval required");
    const told = JSON.parse((await postern("check", "--custody", "-c", "approved.yaml", "--json")).out) as object;
    expect(told).toMatchObject({ credentials: [{ approval: "required" }] });
  });

  test("tells a store that is not there, or open to others, and how that of an embedded custody is made", async () => {
    const stored = (file: string) =>
      EDGE.replace("    embedded:", `    embedded:\n      store: { file: ${file}, key: { file: store.key } }`);
    const told = async (file: string) => {
      const { out } = await postern("check", "--json", "--config", write("embedded-store.yaml", stored(file)));
      return (JSON.parse(out) as { warnings: string[] }).warnings.filter((text) => text.startsWith("store"));
    };
    expect(await told("none.store")).toEqual([
      expect.stringMatching(/none\.store cannot be read here \(ENOENT\).*secret set NAME --custody main`$/),
      expect.stringMatching(/^store, its key: .*store\.key cannot be looked at here \(ENOENT\)/),
    ]);
    writeFileSync(join(dir, "a.store"), "", { mode: 0o644 });
    writeFileSync(join(dir, "store.key"), "", { mode: 0o604 });
    expect(await told("a.store")).toEqual([
      expect.stringMatching(/^store: .*a\.store is open to everybody \(mode 0644\).*: chmod 0600$/),
      expect.stringMatching(/^store, its key: .*store\.key is open to everybody \(mode 0604\)/),
    ]);
  });

  test("tells files of roots that are not there, or that others may read", async () => {
    writeFileSync(join(dir, "open.txt"), "root", { mode: 0o644 });
    writeFileSync(join(dir, "closed.txt"), "root", { mode: 0o600 });
    writeFileSync(join(dir, "projected.txt"), "jwt", { mode: 0o644 });
    const vault = (login: string) => `{ address: "https://vault.internal", login: { ${login} } }`;
    const read = (name: string, source: string) =>
      `  - { name: ${name}, kind: token, source: { ${source} }, hosts: ["api.example.com:443"] }`;
    const text = [
      "listen: { address: unix:custody.sock }",
      "audit: { file: audit.jsonl }",
      "vaults:",
      `  agent: ${vault("token: { sink: gone.txt }")}`,
      `  pod: ${vault("kubernetes: { role: custody, token_file: projected.txt }")}`,
      "credentials:",
      read("missing", "file: gone.txt"),
      read("exposed", "file: open.txt"),
      read("private", "file: closed.txt"),
      read("by-agent", "vault: agent, path: kv/a, field: k"),
      read("by-pod", "vault: pod, path: kv/a, field: k"),
    ].join("\n");
    const { code, out } = await postern("check", "--custody", "--json", "--config", write("roots.yaml", text));
    expect(code).toBe(0);
    expect((JSON.parse(out) as { warnings: string[] }).warnings).toEqual([
      `credential missing: ${dir}/gone.txt cannot be looked at here (ENOENT): put it there, or check the path`,
      `credential exposed: ${dir}/open.txt is open to everybody (mode 0644), and custody would not take it: chmod 0400`,
      `vault agent: ${dir}/gone.txt cannot be looked at here (ENOENT): put it there, or check the path`,
    ]);
  });

  test("--custody reads the config of a custody process", async () => {
    const { code, out } = await postern("check", "--custody", "--config", write("custody.yaml", CUSTODY));
    expect(code).toBe(0);
    expect(out).toContain("whoever can open the socket");
    expect(out).toContain(`state\n  ${dir}/audit.state\n`);
    const operated = `${CUSTODY}\noperators: { address: unix:operators.sock }\n`;
    const second = await postern("check", "--custody", "--config", write("operated.yaml", operated));
    expect(second.out).toContain(`operators\n  whoever can open unix:${dir}/operators.sock (mode 0600)\n`);
    expect(out).toContain(`file ${dir}/key.txt`);
    expect((await postern("check", "--custody", "--config", "edge.yaml")).code).toBe(2);
    expect((await postern("check", "--config", "custody.yaml")).code).toBe(2);
  });

  test("an edge that uses variables which are not set is told", async () => {
    const terminal = fakeTerminal(dir);
    await runProgram(entries, "0", ["check", "-c", "edge.yaml"], terminal);
    expect(terminal.stdout).toContain("credential key: KEY is not set here: set it where the process starts");
  });
});

describe("explain", () => {
  const explain = (...words: string[]) => postern("explain", "--config", "edge.yaml", ...words);

  test("an allowed request: rule, addresses, the credential's name", async () => {
    const { code, out } = await explain("GET", "https://api.example.com/v1/models");
    expect(code).toBe(0);
    expect(out.split("\n").map((line) => line.trim().replaceAll(/ {2,}/g, " | "))).toEqual([
      "allowed: GET https://api.example.com/v1/models",
      "session | local of tenant local, workspace default (listener guests)",
      "authority | api.example.com:443",
      "destination | api (enforce, inspect, http auto)",
      "allow[0] | GET,POST /v1/**: allows it",
      "way | direct",
      "addresses | 203.0.112.9",
      "credential | main/key, attached as query k",
      "",
    ]);
  });

  test.each([
    [["DELETE", "https://api.example.com/v1/x"], "deny", "method_not_allowed"],
    [["GET", "https://api.example.com/v3"], "deny", "path_not_allowed"],
    [["GET", "https://api.example.com/v1/../admin"], "deny", "ambiguous_path"],
    [["GET", "https://example.org/"], "deny", "destination_not_allowed"],
    [["GET", "http://api.example.com/v1/x"], "deny", "destination_not_allowed"],
    [["GET", "https://inner.example.com/"], "deny", "address_denied"],
    [["GET", "https://loop.example.com:3128/"], "deny", "loop_detected"],
    [["PUT", "https://api.example.com/v2/items/1"], "deny", "header_not_allowed"],
    [["PUT", "https://api.example.com/v2/items/1", "-H", "X-Mode: safe"], "allow", null],
    [["GET", "https://inner.example.com/", "--no-resolve"], "allow", null],
    [["GET", "https://loop.example.com:3128/", "--no-resolve"], "tunnel", null],
    [["POST", "https://watched.example.com/ok", "--no-resolve"], "report", "method_not_allowed"],
  ])("%s", async (words, decision, denial) => {
    const { code, out } = await explain("--json", ...words);
    expect(code).toBe(0);
    const explained = JSON.parse(out) as Record<string, unknown>;
    expect(explained).toMatchObject({ decision, denial });
    const text = await explain(...words);
    expect(text.out).toMatch(
      { allow: /^allowed:/, deny: /^denied, /, tunnel: /^passed through:/, report: /^let through although / }[
        decision
      ] as RegExp,
    );
    if (denial !== null) expect(text.out).toContain(denial);
    if (decision !== "allow") expect(explained["credential"]).toBeNull();
  });

  test("a method in small letters is another method: it says so", async () => {
    const { out } = await explain("get", "https://api.example.com/v1/models");
    expect(out).toContain("GET,POST /v1/**: method_not_allowed, methods are case-sensitive: write GET\n");
    const other = await explain("delete", "https://api.example.com/v1/models");
    expect(other.out).toContain("GET,POST /v1/**: method_not_allowed\n");
  });

  test("as the guest of a session", async () => {
    const { out } = await explain("GET", "https://api.example.com/v1/x", "--session", "ci-7");
    expect(out).toContain("ci-7 of tenant acme, workspace default (listener ci)");
  });

  test.each([
    [["GET", "api.example.com"], "write a whole URL, such as https://api.example.com/v1/models"],
    [["GET", "wss://a.com/socket"], '"wss://a.com/socket": write GET https://a.com/socket'],
    [["GET", "grpc://a.com/s.S/M"], '"grpc://a.com/s.S/M": write POST http://a.com/s.S/M'],
    [["G ET", "https://a.com"], '"G ET" is not a method: write GET, POST ...'],
    [["GET", "https://a.com", "-H", "nonsense"], '--header "nonsense": write "name: value"'],
    [["GET", "https://a.com", "--session", "nobody"], 'no listener has session "nobody": the config knows local, ci-7'],
  ])("usage errors are 2: %s", async (words, message) => {
    const { code, err } = await explain(...words);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });
});

describe("parents", () => {
  const file = write(
    "parents.yaml",
    EDGE.replace(
      "custody:\n",
      "upstream:\n  parents:\n    corp: { address: proxy.corp.example:3128, addresses: [10.0.0.5] }\n    names: { address: names.corp.example:3128, tls: {}, connect_by: name, credential: corp, attach: { as: bearer } }\n  parent: corp\ncustody:\n",
    )
      .replace(
        "resolver:\n  hosts: { ",
        "resolver:\n  hosts: { proxy.corp.example: [10.0.0.5], names.corp.example: [10.0.0.6], ",
      )
      .replace(
        "      credentials:\n",
        '      credentials:\n        - { name: corp, kind: token, source: { env: KEY }, hosts: ["names.corp.example:3128"] }\n',
      )
      .replace("  - { name: inner,", "  - { name: inner, parent: names,")
      .replace("  - { name: tunnel,", "  - { name: tunnel, parent: direct,"),
  );
  const rows = (out: string): string[] => out.split("\n").map((line) => line.trim().replaceAll(/ {2,}/g, " | "));

  test("check tells each and who goes through it", async () => {
    const { code, out, err } = await postern("check", "--config", file);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(rows(out)).toEqual(
      expect.arrayContaining([
        "corp | proxy.corp.example:3128, CONNECT by address, without a credential",
        "names | names.corp.example:3128 over TLS, CONNECT by name, with main/corp as bearer",
        "inner | inner.example.com:443 | https | inspect | auto | enforce | GET /** | - | names",
        "watched | watched.example.com:443 | https | inspect | auto | report | GET /ok | - | corp",
        "tunnel | loop.example.com:3128 | https | passthrough | - | enforce | everything, unseen | - | direct",
      ]),
    );
    const json = JSON.parse((await postern("check", "--config", file, "--json")).out) as Record<string, unknown>;
    expect(json).toMatchObject({
      parents: [
        { name: "corp", tls: false, credential: null },
        { name: "names", connect_by: "name", credential: "main/corp" },
      ],
      destinations: [{ parent: "corp" }, { parent: "names" }, { parent: "corp" }, { parent: null }],
    });
  });

  test("explain tells the way, and looks the parent up", async () => {
    const { out } = await postern("explain", "--config", file, "GET", "https://api.example.com/v1/models");
    expect(rows(out)).toEqual(
      expect.arrayContaining([
        "allowed: GET https://api.example.com/v1/models",
        "way | through parent corp at proxy.corp.example:3128, CONNECT by address, without a credential",
        "parent at | 10.0.0.5",
        "addresses | 203.0.112.9",
      ]),
    );
  });

  test("explain looks up nothing that the parent is to resolve, and refuses a parent in a range that is not named", async () => {
    const { out } = await postern("explain", "--config", file, "GET", "https://inner.example.com/");
    expect(rows(out)[0]).toMatch(/^denied, address_denied/);
    expect(rows(out)).toEqual(
      expect.arrayContaining([
        "way | through parent names at names.corp.example:3128 over TLS, CONNECT by name, with main/corp as bearer",
        expect.stringMatching(/^parent at \| 10\.0\.0\.6: address_denied: /),
        "addresses | not looked up: the parent resolves the name",
      ]),
    );
    const json = JSON.parse(
      (await postern("explain", "--config", file, "GET", "https://inner.example.com/", "--json")).out,
    ) as object;
    expect(json).toMatchObject({
      parent: { name: "names" },
      addresses: null,
      parent_addresses: [{ denial: "address_denied" }],
    });
  });
});
