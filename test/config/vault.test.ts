import { describe, expect, test } from "vitest";
import { parseConfig } from "../../src/config/load.ts";
import { edgeFile, messagesOf, problemsOf } from "./support/edge-file.ts";

/** `vaults:` of a custody and the sources that name them. */

const SERVER = "address: https://vault.internal:8200, login: { approle: { role_id: r, secret_id: { env: SID } } }";
const SOURCE = "vault: main, path: kv/apps/openai, field: api_key";
const SERVER_AT = "custody.main.embedded.vaults.main";
const SOURCE_AT = "custody.main.embedded.credentials[0].source";

const fileOf = (server: string, source = SOURCE, kind = "token"): string =>
  edgeFile({
    custody: `custody: { main: { embedded: { vaults: { main: { ${server} } }, credentials: [{ name: a, kind: ${kind}, source: { ${source} }, hosts: ['a.com:443'] }] } } }`,
  });

function sourceOf(text: string) {
  const loaded = parseConfig(text, "edge.yaml", "/etc/postern");
  const [custody] = loaded.ok ? loaded.config.custodies : [];
  return custody?.kind === "embedded" ? custody.credentials[0]?.source : undefined;
}

describe("a server", () => {
  test("is taken over with what it leaves out", () => {
    expect(sourceOf(fileOf(SERVER))).toEqual({
      from: "vault",
      server: {
        name: "main",
        address: { kind: "https", host: "vault.internal", port: 8200 },
        namespace: null,
        ca: null,
        serverName: "vault.internal",
        login: {
          by: "approle",
          mount: "approle",
          roleId: "r",
          secretId: { from: "env", variable: "SID" },
          isWrapped: false,
        },
        timeoutMs: 2000,
      },
      engine: "kv2",
      mount: "kv",
      path: "apps/openai",
      field: "api_key",
      version: null,
      sharedBy: "lease",
    });
  });

  test.each([
    ["kubernetes: { role: custody }", { by: "kubernetes", mount: "kubernetes", role: "custody" }],
    ["jwt: { role: custody, token: { file: jwt }, mount: oidc/a }", { by: "jwt", mount: "oidc/a" }],
    ["token: { sink: sink }", { by: "token", isSink: true, token: { from: "file", path: "/etc/postern/sink" } }],
    ["token: { env: TOKEN }", { by: "token", isSink: false }],
    ["approle: { role_id: r, wrapped_secret_id: { file: wrap } }", { by: "approle", isWrapped: true }],
  ])("logs in by %s", (login, wanted) => {
    const source = sourceOf(fileOf(`address: unix:/run/vault.sock, login: { ${login} }`));
    expect(source).toMatchObject({ server: { login: wanted, address: { kind: "unix", path: "/run/vault.sock" } } });
  });

  const LOGIN = "login: { token: { env: T } }";
  test.each([
    [
      `address: http://vault.internal:8200, ${LOGIN}`,
      'address: "http://vault.internal:8200": tokens and secrets would cross the network in clear: write "https://vault.internal:8200"',
    ],
    [
      `address: http://localhost:8200, ${LOGIN}`,
      'address: "http://localhost:8200": tokens and secrets would cross the network in clear: write "https://localhost:8200"',
    ],
    ...["https://vault.internal/v1", "https://u:p@vault", "vault:8200", "ftp://vault", "https://vault/?a"].map(
      (address): [string, string] => [
        `address: "${address}", ${LOGIN}`,
        `address: ${JSON.stringify(address)}: write an address such as "https://vault.internal:8200", without a path`,
      ],
    ),
    [`address: unix:/run/v.sock, ca: ca.pem, ${LOGIN}`, "ca: there is no TLS on this address: leave it out"],
    [
      "address: https://v, login: { approle: { role_id: r } }",
      "login.approle.secret_id: write either `secret_id` or `wrapped_secret_id`, one of them",
    ],
    [
      "address: https://v, login: { approle: { role_id: r, secret_id: { env: A }, wrapped_secret_id: { env: B } } }",
      "login.approle.secret_id: write either `secret_id` or `wrapped_secret_id`, one of them",
    ],
    [`address: https://v, namespace: a//b, ${LOGIN}`, expect.stringMatching(/^namespace: .*write segments/)],
    [`address: https://v, namespace: a/../b, ${LOGIN}`, expect.stringMatching(/^namespace: .*no segment of dots/)],
    [`address: https://v, ca: missing.pem, ${LOGIN}`, expect.stringMatching(/^ca: .*missing.pem cannot be read/)],
  ] as [string, string][])("%s", (server, message) => {
    const messages = messagesOf(fileOf(server)).map((text) => text.replace(`${SERVER_AT}.`, ""));
    expect(messages).toEqual([message]);
  });

  test("http is for loopback addresses", () => {
    expect(problemsOf(fileOf(`address: "http://127.0.0.1:8200", ${LOGIN}`))).toEqual([]);
    expect(problemsOf(fileOf(`address: "http://[::1]:8200", ${LOGIN}`))).toEqual([]);
  });
});

describe("a source", () => {
  test.each([
    ["vault: man, path: kv/a, field: f", "token", 'vault: "man": there is no vault of this name: write "main"'],
    [
      "vault: other, path: kv/a, field: f",
      "token",
      'vault: "other": there is no vault of this name: add it to `vaults:` of this custody',
    ],
    [
      "vault: main, path: kv, field: f",
      "token",
      'path: "kv": nothing is left below the mount "kv": write "mount/path"',
    ],
    ["vault: main, path: kv/data/a, field: f", "token", 'path: "kv/data/a": "data/" is put in by itself: leave it out'],
    [
      "vault: main, path: team/kv/a, mount: other, field: f",
      "token",
      'path: "team/kv/a": nothing is left below the mount "other": write "mount/path"',
    ],
    ["vault: main, path: kv/a", "token", "field: missing: name the field that is the token"],
    [
      "vault: main, path: kv/a, field: f, engine: kv1, version: 2",
      "token",
      "version: engine kv1 has no versions: leave it out",
    ],
    [
      "vault: main, path: kv/a, field: f, shared_by: tenant",
      "token",
      "shared_by: engine kv2 makes no credentials: leave it out",
    ],
    ["vault: main, path: kv/../a, field: f", "token", expect.stringMatching(/^path: .*no segment of dots/)],
    ["vault: main, path: kv/a?b, field: f", "token", expect.stringMatching(/^path: .*write segments/)],
  ] as [string, string, string][])("{ %s }", (source, kind, message) => {
    const messages = messagesOf(fileOf(SERVER, source, kind)).map((text) => text.replace(`${SOURCE_AT}.`, ""));
    expect(messages).toEqual([message]);
  });

  test("has its mount where it has slashes, and needs no field or user name where the kind says them", () => {
    const spelled = "vault: main, path: team/kv/apps/a, mount: team/kv, field: f";
    expect(sourceOf(fileOf(SERVER, spelled))).toMatchObject({ mount: "team/kv", path: "apps/a" });
    const made = "vault: main, path: database/creds/ro, engine: dynamic, shared_by: tenant";
    expect(sourceOf(fileOf(SERVER, made, "userpass"))).toMatchObject({ field: null, sharedBy: "tenant" });
  });

  test("that makes credentials goes with no minter, one that holds a root does", () => {
    const minted = (engine: string): string => {
      const mint =
        "{ as: oauth2_client_credentials, token_endpoint: { url: 'https://as.example/token' }, client: { id: c, auth: client_secret_post } }";
      const source = `{ vault: main, path: kv/a, field: f, engine: ${engine} }`;
      return edgeFile({
        custody: `custody: { main: { embedded: { vaults: { main: { ${SERVER} } }, credentials: [{ name: a, source: ${source}, mint: ${mint}, hosts: ['a.com:443'] }] } } }`,
      });
    };
    expect(messagesOf(minted("kv2"))).toEqual([]);
    expect(messagesOf(minted("dynamic"))).toEqual([
      "custody.main.embedded.credentials[0].mint: engine dynamic makes what is leased by itself: leave it out",
    ]);
  });

  test("of a server with faults has none of its own", () => {
    const messages = messagesOf(fileOf("address: https://v, logn: {}"));
    expect(messages.map((text) => text.split(":", 1)[0])).toEqual([`${SERVER_AT}.login`, `${SERVER_AT}.logn`]);
  });
});
