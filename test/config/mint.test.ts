import { describe, expect, test } from "vitest";
import { parseConfig, parseCustodyConfig } from "../../src/config/load.ts";
import { ALL, destination, edgeFile, messagesOf } from "./support/edge-file.ts";

const URL = "https://login.example.com/oauth2/token";
const MINT = `{ as: oauth2_client_credentials, token_endpoint: { url: "${URL}" }, client: { id: postern }, scopes: [read, write] }`;

/** An edge with one embedded credential `key`, and one destination that says `more` beside it. */
function edgeWith(entry: string, more = ""): string {
  return edgeFile({
    custody: `custody:\n  main:\n    embedded:\n      credentials:\n        - { name: key, source: { env: KEY }, hosts: ["api.example.com:443"], ${entry} }`,
    destinations: destination(`${ALL}, credential: key, attach: { as: bearer }${more}`),
  });
}

function entryOf(mint: string) {
  const loaded = parseConfig(edgeWith(`mint: ${mint}`), "edge.yaml", "/etc/postern");
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const [custody] = loaded.config.custodies;
  if (custody?.kind !== "embedded") throw new Error("no embedded custody");
  return { entry: custody.credentials[0], destination: loaded.config.destinations[0]?.destination };
}

describe("mint:", () => {
  test("client credentials mean what they say", () => {
    expect(entryOf(MINT).entry).toMatchObject({
      kind: "token",
      source: { from: "env", variable: "KEY" },
      mint: {
        as: "oauth2_client_credentials",
        endpoint: { url: URL, ca: null, timeoutMs: 5000 },
        client: { id: "postern", auth: "client_secret_basic", secret: null },
        scopes: ["read", "write"],
        audiences: [],
        resources: [],
      },
    });
  });

  test("further sources, paths and tokens of a session mean what they say", () => {
    const refresh = `{ as: oauth2_refresh_token, token_endpoint: { url: "${URL}" }, state: kept/state, client: { id: a, auth: client_secret_post, secret: { file: secret } } }`;
    expect(entryOf(refresh).entry?.mint).toMatchObject({
      state: "/etc/postern/kept/state",
      client: { secret: { from: "file", path: "/etc/postern/secret" } },
    });
    const exchange = `{ as: oauth2_token_exchange, token_endpoint: { url: "${URL}" }, subject: { session: { issuer: me, claims: { tenant: "{tenant}" } } }, actor: { source: { env: ACTOR } } }`;
    expect(entryOf(exchange).entry?.mint).toMatchObject({
      client: null,
      subject: {
        from: "session",
        template: { issuer: "me", audiences: [URL], claims: { sub: "{subject}", tenant: "{tenant}" } },
      },
      actor: { tokenType: "urn:ietf:params:oauth:token-type:access_token" },
    });
    const bearer = `{ as: oauth2_jwt_bearer, token_endpoint: { url: "${URL}" }, assertion: { issuer: me, algorithm: RS256 } }`;
    expect(entryOf(bearer).entry?.mint).toMatchObject({ template: { claims: { sub: "me" }, algorithm: "RS256" } });
    const signed = "{ as: signed_jwt, audiences: [x], ttl_seconds: 60, claims: { groups: [a, b] } }";
    expect(entryOf(signed).entry?.mint).toMatchObject({ type: "JWT", template: { issuer: null, ttlSeconds: 60 } });
  });

  const endpoint = (text: string): string =>
    `mint: { as: oauth2_client_credentials, token_endpoint: { ${text} }, client: { id: a } }`;
  const client = (text: string): string =>
    `mint: { as: oauth2_client_credentials, token_endpoint: { url: "${URL}" }, client: { id: a, ${text} } }`;
  const refresh = (text: string): string =>
    `mint: { as: oauth2_refresh_token, token_endpoint: { url: "${URL}" }, state: s, client: { id: a, ${text} } }`;
  const signed = (claims: string): string => `mint: { as: signed_jwt, audiences: [x], claims: { ${claims} } }`;

  test.each([
    [
      `kind: userpass, username: u, mint: ${MINT}`,
      /kind: "userpass": oauth2_client_credentials mints kind token: leave it out/,
    ],
    ["ttl_seconds: 5", /kind: missing: say what a lease brings/],
    [endpoint('url: "http://login.example.com/"'), /secrets would travel readable: write https/],
    [endpoint('url: "http://login.example.com/", plain_http: accept'), /secrets would travel readable: write https/],
    [endpoint('url: "http://127.0.0.1:9/"'), /plain_http: accept/],
    [endpoint('url: "https://user:secret-77@login.example.com/"'), /user name or password: leave it out/],
    [endpoint('url: "https://login.example.com/?client_secret=secret-77"'), /without query and fragment/],
    [endpoint('url: "secret-77"'), /is no URL/],
    [endpoint(`url: "${URL}", ca: missing.pem`), /missing\.pem cannot be read/],
    [client("auth: none"), /the root would prove nothing/],
    [client("key_id: k"), /goes with auth: private_key_jwt/],
    [client("secret: secret-77"), /unknown key/],
    [refresh("auth: client_secret_basic"), /missing: say where it is read/],
    [refresh("auth: none, secret: { env: A }"), /proves nothing: leave it out/],
    [refresh("secret: secret-77"), /secret/],
    [signed("iss: me"), /iss is written by the minter itself/],
    [signed('sub: "{user}"'), /\{user\}: nothing stands for it: write \{session\}/],
    ["mint: { as: oauth2, client: { id: a } }", /oauth2_client_credentials/],
  ])("%s is refused", (entry, says) => {
    const messages = messagesOf(edgeWith(entry)).join("\n");
    expect(messages).toMatch(says);
    expect(messages).not.toContain("secret-77");
  });

  const custodyOf = (...entries: string[]) =>
    parseCustodyConfig(
      `listen: { address: "unix:/run/c.sock" }\naudit: { file: a }\nstore: { file: secrets.store, key: { env: K } }\ncredentials:\n${entries.join("\n")}\n`,
      "custody.yaml",
      "/etc/postern",
    );
  const rotating = (name: string, source: string, state: string): string =>
    `  - { name: ${name}, source: { ${source} }, hosts: ["a.example.com:443"], mint: { as: oauth2_refresh_token, token_endpoint: { url: "${URL}" }, client: { id: a, auth: none } ${state} } }`;

  test("a rotated root that is in the store needs no file of its own, and any other one does", () => {
    const loaded = custodyOf(rotating("a", "store: acme/root", ""), rotating("b", "store: acme/other", ", state: s"));
    expect(loaded.ok && loaded.config.credentials.map(({ mint }) => mint)).toMatchObject([
      { state: null },
      { state: "/etc/postern/s" },
    ]);
    expect(JSON.stringify(custodyOf(rotating("a", "env: KEY", "")))).toContain(
      "or read it from the store with source: { store: NAME }",
    );
  });

  test("two entries never share a place for a rotated root", () => {
    const files = custodyOf(rotating("a", "env: KEY", ", state: s"), rotating("b", "env: OTHER", ", state: ./s"));
    expect(JSON.stringify(files)).toContain('credential \\"a\\" has this file');
    const entries = custodyOf(rotating("a", "store: root", ""), rotating("b", "store: root", ""));
    expect(JSON.stringify(entries)).toContain('credential \\"a\\" rotates this entry of the store');
  });
});

describe("narrow:", () => {
  test("travels with the reference, in one spelling", () => {
    const text = edgeWith(`mint: ${MINT}`, ", narrow: { scopes: [write, read, write] }");
    const loaded = parseConfig(text, "edge.yaml", "/etc/postern");
    expect(loaded.ok && loaded.config.destinations[0]?.destination.credential).toEqual({
      custody: "main",
      name: "key",
      narrow: { scopes: ["read", "write"] },
    });
  });

  test("is taken as it is where a remote custody knows the catalogue alone", () => {
    const text = edgeFile({
      custody: "custody:\n  main: { remote: { address: unix:/run/c.sock } }",
      destinations: destination(`${ALL}, credential: key, attach: { as: bearer }, narrow: { repositories: [a/b] }`),
    });
    expect(messagesOf(text)).toEqual([]);
  });

  test.each([
    [
      `mint: ${MINT}`,
      "{ scopes: [admin] }",
      /"admin": not within scopes of credential "key": write one of "read", "write"/,
    ],
    [`mint: ${MINT}`, "{ scopes: [reed] }", /write "read"/],
    [`mint: ${MINT}`, "{ scope: [read] }", /has no scope: write "scopes"/],
    [`mint: ${MINT}`, "{ repositories: [a] }", /has no repositories: it has scopes/],
    [`mint: ${MINT}`, "{ constructor: [a] }", /has no constructor/],
    ["kind: token", "{ scopes: [read] }", /has no mint: its leases cannot be narrowed/],
    [`mint: ${MINT}`, "{}", /empty: write what to narrow/],
    [`mint: ${MINT}`, "{ scopes: [] }", /empty list/],
    [`mint: ${MINT}`, "{ scopes: read }", /write a list/],
    [`mint: ${MINT}`, "{ Scopes: [read] }", /write a name such as scopes/],
    [
      `mint: ${MINT}`,
      `{ scopes: [${Array.from({ length: 20 }, (_, i) => `${"x".repeat(300)}${i}`).join(", ")}] }`,
      /too long/,
    ],
  ])("%s narrowed to %s is refused", (entry, narrow, says) => {
    expect(messagesOf(edgeWith(entry, `, narrow: ${narrow}`)).join("\n")).toMatch(says);
  });

  test("goes with a credential", () => {
    expect(messagesOf(edgeFile({ destinations: destination(`${ALL}, narrow: { scopes: [a] }`) })).join("\n")).toMatch(
      /there is no credential to narrow/,
    );
  });
});
