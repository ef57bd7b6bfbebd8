import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { rootCertificates } from "node:tls";
import { load } from "js-yaml";
import { afterAll, describe, expect, test } from "vitest";
import { loadConfig, loadCustodyConfig, parseConfig, parseCustodyConfig } from "../../src/config/load.ts";
import { ALL, destination, edgeFile } from "./support/edge-file.ts";

const dir = mkdtempSync(join(tmpdir(), "postern-config-"));
afterAll(() => rmSync(dir, { recursive: true }));

function write(name: string, content: string | Uint8Array): string {
  const path = join(dir, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

function configOf(text: string) {
  const loaded = parseConfig(text, "edge.yaml", "/etc/postern");
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems, null, 2));
  return loaded.config;
}

describe("what a config becomes", () => {
  test("defaults fill every section that is left out", () => {
    const config = configOf(edgeFile());
    expect(config.admin).toBeNull();
    expect(config.limits).toMatchObject({ headBytes: 65_536, connectionsPerGuest: 2000, interimResponses: 16 });
    expect(config.timeouts).toMatchObject({ requestHeadMs: 30_000, tunnelLifeMs: 43_200_000, drainMs: 30_000 });
    expect(config.resolver).toEqual({ hosts: new Map(), answerTtlMs: 5000, timeoutMs: 5000 });
    expect(config.log).toEqual({ level: "info", exchanges: true });
    expect(config.audit).toEqual({
      file: "/etc/postern/audit.jsonl",
      mode: "durable_first",
      fsync: "interval",
      fsyncIntervalMs: 1000,
      rotateBytes: 268_435_456,
    });
  });

  test("the port follows the scheme", () => {
    const config = configOf(
      edgeFile({
        destinations: `destinations: [{ name: a, host: a.com, ${ALL} }, { name: b, host: a.com, scheme: http, ${ALL} }]`,
      }),
    );
    expect(config.destinations.map(({ port }) => port)).toEqual([443, 80]);
  });

  test("rules: `*` is any method, field names are lower case, query keys are kept", () => {
    const config = configOf(
      edgeFile({
        destinations: destination(
          'allow: [{ methods: ["*"], paths: [/a], headers: { Accept: [x] }, query: { Model: ["a*"] } }], drop_headers: [X-Key]',
        ),
      }),
    );
    expect(config.destinations[0]).toMatchObject({
      allow: [{ methods: null, paths: ["/a"], headers: { accept: ["x"] }, query: { Model: ["a*"] } }],
      destination: { dropHeaders: ["x-key"] },
    });
  });

  test("one attachment or a list; a token's user name comes from the catalogue", () => {
    const custody = `custody: { vault: { embedded: { credentials: [
      { name: t, kind: token, username: u, source: { exec: [./mint, a], timeout_ms: 700 }, hosts: ["*.example.com:443"], tenants: [acme], ttl_seconds: 60, max_uses: 5 }] } } }`;
    const config = configOf(
      edgeFile({
        custody,
        destinations: destination(
          `${ALL}, credential: t, attach: [{ as: basic }, { as: placeholder, value: sk-postern-openai, in: [header:X-Key, query:k] }]`,
        ),
      }),
    );
    expect(config.custodies).toEqual([
      {
        name: "vault",
        kind: "embedded",
        credentials: [
          {
            name: "t",
            kind: "token",
            username: "u",
            keyId: null,
            approval: false,
            keyAt: null,
            source: { from: "exec", command: ["/etc/postern/mint", "a"], timeoutMs: 700 },
            mint: null,
            hosts: ["*.example.com:443"],
            tenants: ["acme"],
            ttlSeconds: 60,
            maxUses: 5,
          },
        ],
      },
    ]);
    expect(config.destinations[0]?.destination).toMatchObject({
      credential: { custody: "vault", name: "t" },
      attachments: [
        { as: "basic", username: "u" },
        {
          as: "placeholder",
          value: "sk-postern-openai",
          spots: [
            { in: "header", name: "x-key" },
            { in: "query", name: "k" },
          ],
        },
      ],
    });
  });

  test("a listener may belong to one session", () => {
    const config = configOf(
      edgeFile({
        listeners:
          "listeners: [{ name: g, address: unix:run/g.sock, session: { mode: listener, tenant: acme, id: s-1, roles: [ci] } }]",
      }),
    );
    expect(config.listeners[0]).toEqual({
      name: "g",
      address: { kind: "unix", path: "/etc/postern/run/g.sock", text: "unix:/etc/postern/run/g.sock" },
      session: {
        mode: "listener",
        claims: { id: "s-1", tenant: "acme", workspace: "default", subject: "s-1", roles: ["ci"] },
      },
      protocol: "http",
      tls: null,
      proxySenders: null,
      socket: { mode: 0o660, owner: null },
    });
  });

  test("guests may come by a socket file of somebody, over TLS, by SOCKS5, from behind a balancer", () => {
    const loaded = parseConfig(
      edgeFile({
        listeners: `listeners:
  - name: secure
    address: 127.0.0.1:3129
    tls: { certificate: edge.crt, key: edge.key, client_ca: guests.crt, client_certificates: optional }
    proxy_protocol: { from: [10.0.0.7, "fd00::/8", 192.0.2.0/24] }
    session: { mode: open, id: a }
  - name: socks
    address: unix:socks.sock
    protocol: socks5
    socket: { mode: "0600", owner: "1000:0" }
    proxy_protocol: { from: unix }
    session: { mode: open, id: b }`,
      }),
      "edge.yaml",
      "/etc/postern",
    );
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems, null, 2));
    expect(loaded.config.listeners).toMatchObject([
      {
        protocol: "http",
        tls: {
          certificate: "/etc/postern/edge.crt",
          key: "/etc/postern/edge.key",
          clients: { ca: "/etc/postern/guests.crt", required: false },
        },
        proxySenders: ["10.0.0.7/32", "fd00::/8", "192.0.2.0/24"],
      },
      { protocol: "socks5", tls: null, proxySenders: "unix", socket: { mode: 0o600, owner: { uid: 1000, gid: 0 } } },
    ]);
    expect(loaded.files).toEqual(
      expect.arrayContaining(["edge.crt", "edge.key", "guests.crt"].map((f) => `/etc/postern/${f}`)),
    );
  });

  test("it is frozen, all the way down", () => {
    const config = configOf(
      edgeFile({
        custody: 'custody: { main: { remote: { address: "c:1", tls: { ca: a, certificate: b, key: c } } } }',
        destinations: destination(
          `allow: [{ methods: [GET], paths: [/a], headers: { a: [b] }, query: { c: [d] } }], drop_headers: [x], addresses: [10.0.0.0/8], credential: k, attach: { as: placeholder, value: sk-postern-openai, in: [header:x] }`,
        ),
        more: "admin: { address: 127.0.0.1:9 }\nresolver: { hosts: { a.internal: [10.0.0.1] } }",
      }),
    );
    const open: string[] = [];
    const walk = (path: string, value: unknown): void => {
      if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
      if (!Object.isFrozen(value) && !(value instanceof Map)) open.push(path);
      for (const [key, child] of value instanceof Map ? value : Object.entries(value)) walk(`${path}.${key}`, child);
    };
    walk("", config);
    expect(open).toEqual([]);
  });

  test("JSON is read as well, and its problems have places, too", () => {
    const value = load(edgeFile({ destinations: destination(ALL) }));
    expect(configOf(JSON.stringify(value, null, "\t")).destinations).toHaveLength(1);
    const broken = parseConfig('{"listeners": [],\n "listeners": []}', "edge.json", "/");
    expect(broken.ok ? [] : broken.problems.map(({ line, column, path }) => [line, column, path])).toContainEqual([
      2,
      2,
      "listeners",
    ]);
  });
});

describe("files", () => {
  test("relative paths count from the config file; what was read is watched", () => {
    write("tls/roots.pem", `note\n${rootCertificates[0]}\n\n${rootCertificates[1]}\n`);
    const path = write(
      "deep/edge.yaml",
      edgeFile({
        destinations: destination(`${ALL}, trust: ../tls/roots.pem`),
        more: "upstream: { extra_roots: [../tls/roots.pem] }",
      }),
    );
    const loaded = loadConfig(path);
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    const pem = `${rootCertificates[0]}\n${rootCertificates[1]}\n`;
    expect(loaded.config.destinations[0]?.destination.trust).toBe(pem);
    expect(loaded.config.upstream.extraRoots).toEqual([pem]);
    expect([...loaded.files].toSorted()).toEqual(
      [path, join(dir, "deep/ca.crt"), join(dir, "deep/ca.key"), join(dir, "tls/roots.pem")].toSorted(),
    );
  });

  test("the digest tells texts and certificates apart", () => {
    const trusting = edgeFile({ destinations: destination(`${ALL}, trust: d.pem`) });
    const path = write("d.yaml", trusting);
    const digestWith = (certificate: string | undefined): string => {
      write("d.pem", certificate ?? "");
      const loaded = loadConfig(path);
      return loaded.ok ? loaded.digest : "broken";
    };
    const first = digestWith(rootCertificates[0]);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(digestWith(rootCertificates[0])).toBe(first);
    expect(digestWith(rootCertificates[1])).not.toBe(first);
  });

  test.each([
    ["no.pem", null, "cannot be read (ENOENT): name a readable file of PEM certificates"],
    ["empty.pem", "", "holds no certificate: name a file with BEGIN CERTIFICATE blocks"],
    ["bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "certificate 1 of "],
  ])("a trust file that will not do: %s", (name, content, why) => {
    if (content !== null) write(name, content);
    const loaded = loadConfig(write("t.yaml", edgeFile({ destinations: destination(`${ALL}, trust: ${name}`) })));
    expect(loaded.ok ? [] : loaded.problems.map(({ path, message }) => `${path}: ${message}`)).toEqual([
      expect.stringContaining(why),
    ]);
    expect(loaded.files).toContain(join(dir, name));
  });

  test.each([
    ["missing", null, "no such file: name one with --config, or start from config/postern.example.yaml"],
    ["latin1", new Uint8Array([0x61, 0x3a, 0x20, 0xff]), "not UTF-8: save the file as UTF-8"],
    ["directory", undefined, "cannot be read (EISDIR): name a readable file with --config"],
  ])("a config that cannot be read: %s", (name, content, message) => {
    const path = join(dir, name);
    if (content === undefined) mkdirSync(path);
    else if (content !== null) write(name, content);
    expect(loadConfig(path)).toEqual({
      ok: false,
      problems: [{ file: path, line: 0, column: 0, path: "", message }],
      files: [path],
      seen: new Map([[path, expect.any(String)]]),
    });
  });

  test("a byte order mark is no part of the text", () => {
    expect(loadConfig(write("bom.yaml", `\uFEFF${edgeFile()}`)).ok).toBe(true);
  });

  test("what another folder finds wrong has its place in the file", () => {
    const path = write("v.yaml", edgeFile({ destinations: destination(ALL) }));
    const loaded = loadConfig(path, () => [{ path: ["destinations", 0, "host"], message: "no" }]);
    expect(loaded).toMatchObject({
      ok: false,
      problems: [{ line: 13, column: 24, path: "destinations[0].host", message: "no" }],
    });
  });
});

describe("a custody's config", () => {
  const custodyFile = (listen: string, more = ""): string =>
    `listen: ${listen}\naudit: { file: a.jsonl }\ncredentials: [{ name: k, kind: token, source: { env: K }, hosts: ["a.com:443"] }]\n${more}`;

  test("is read from its file", () => {
    const path = write(
      "custody.yaml",
      custodyFile(
        '{ address: "127.0.0.1:8443", tls: { certificate: c.crt, key: c.key, client_ca: edges.crt } }',
        "clients: [{ name: edge-1 }, { name: edge-2, tenants: [acme] }]",
      ),
    );
    const loaded = loadCustodyConfig(path);
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    expect(loaded.config.listen).toEqual({
      address: { kind: "tcp", host: "127.0.0.1", port: 8443, text: "127.0.0.1:8443" },
      tls: { certificate: join(dir, "c.crt"), key: join(dir, "c.key"), clientCa: join(dir, "edges.crt") },
    });
    expect(loaded.config.clients).toEqual([
      { name: "edge-1", tenants: null, may: ["lease"] },
      { name: "edge-2", tenants: ["acme"], may: ["lease"] },
    ]);
    expect(loaded.config.credentials).toHaveLength(1);
    expect(loaded.files).toContain(join(dir, "edges.crt"));
  });

  test.each([
    [
      '{ address: "10.0.0.1:8443" }',
      "",
      "listen.tls: missing: leases cross the network: write tls: { certificate: ..., key: ..., client_ca: ... }",
    ],
    [
      "{ address: unix:c.sock }",
      "clients: [{ name: a }]",
      "clients: without `listen.tls` nobody can prove to be one of them: the socket's file mode decides: leave it out",
    ],
    [
      '{ address: "10.0.0.1:1", tls: { certificate: a, key: b, client_ca: c } }',
      "",
      "clients: missing: nobody could ask: name the edges by the names in their certificates",
    ],
    [
      '{ address: "10.0.0.1:1", tls: { certificate: a, key: b, client_ca: c } }',
      "clients: [{ name: a }, { name: a }]",
      'clients[1].name: "a": another client has this name: put the tenants into one',
    ],
    ["{ address: unix:c.sock }", "listeners: []", 'listeners: unknown key: "listen" is there already: take this out'],
  ])("%s %s", (listen, more, message) => {
    const loaded = parseCustodyConfig(custodyFile(listen, more), "custody.yaml", "/");
    expect(loaded.ok ? [] : loaded.problems.map(({ path, message: text }) => `${path}: ${text}`)).toEqual([message]);
  });
});
