import { describe, expect, test } from "vitest";
import { parseConfig } from "../../src/config/load.ts";
import { ALL, destination, edgeFile, messagesOf } from "./support/edge-file.ts";

/** An edge with one embedded credential `key`, and one destination that says `more` beside it. */
function edgeWith(mint: string, more = "", entry = ""): string {
  return edgeFile({
    custody: `custody:\n  main:\n    embedded:\n      credentials:\n        - { name: key, source: { env: KEY }, hosts: ["api.example.com:443"], mint: { ${mint} }${entry} }`,
    destinations: destination(`${ALL}, credential: key, attach: { as: bearer }${more}`),
  });
}

function entryOf(mint: string) {
  const loaded = parseConfig(edgeWith(mint), "edge.yaml", "/etc/postern");
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const [custody] = loaded.config.custodies;
  if (custody?.kind !== "embedded") throw new Error("no embedded custody");
  return custody.credentials[0];
}

const GITHUB = "as: github_app, client_id: Iv1, installation: 7";
const ROLE = "arn:aws:iam::123456789012:role/agents";
const AWS = `as: aws_sts_assume_role, region: eu-central-1, role: "${ROLE}"`;
const GCP = "as: gcp_service_account, scopes: [a]";
const AZURE = "as: azure_client_credentials, tenant: contoso.test, client_id: a-1, proof: certificate";
const VAULT = "https://vault.azure.net/.default";
const REGISTRY = 'as: registry_token, token_endpoint: { url: "https://auth.test/token" }, service: s, username: u';

describe("what is left out means what the documentation says", () => {
  test("GitHub App", () => {
    expect(entryOf(`${GITHUB}, repositories: [docs, docs], permissions: all`)).toMatchObject({
      kind: "token",
      mint: {
        endpoint: { url: "https://api.github.com/", ca: null, timeoutMs: 5000 },
        installation: "7",
        repositories: ["docs"],
        permissions: null,
      },
    });
  });

  test("AWS", () => {
    const policy = 'policy: \'{ "Version": "2012-10-17", "Statement": [ ] }\'';
    const loaded = parseConfig(
      edgeFile({
        custody: `custody:\n  main:\n    embedded:\n      credentials:\n        - { name: key, source: { env: KEY }, key_id: AKIA, hosts: ["api.example.com:443"], mint: { ${AWS}, ${policy} } }`,
      }),
      "edge.yaml",
      "/etc/postern",
    );
    const custody = loaded.ok ? loaded.config.custodies[0] : undefined;
    expect(custody?.kind === "embedded" ? custody.credentials[0] : null).toMatchObject({
      kind: "aws",
      keyId: "AKIA",
      mint: {
        endpoint: { url: "https://sts.eu-central-1.amazonaws.com/" },
        durationSeconds: 900,
        policy: '{"Version":"2012-10-17","Statement":[]}',
        policyArns: [],
        externalId: null,
        sourceIdentity: null,
        tags: {},
      },
    });
  });

  test("GCP", () => {
    expect(entryOf(GCP)?.mint).toMatchObject({
      endpoint: { url: "https://oauth2.googleapis.com/token" },
      impersonate: null,
    });
    expect(entryOf(`${GCP}, impersonate: { account: a@b.test }`)?.mint).toMatchObject({
      impersonate: { endpoint: { url: "https://iamcredentials.googleapis.com/" }, lifetimeSeconds: 900, delegates: [] },
    });
    expect(entryOf("as: gcp_self_signed_jwt, scopes: [a]")?.mint).toMatchObject({ audience: null, scopes: ["a"] });
  });

  test("Azure and registries", () => {
    expect(entryOf(`${AZURE}, scopes: ["${VAULT}"]`)?.mint).toMatchObject({
      endpoint: { url: "https://login.microsoftonline.com/contoso.test/oauth2/v2.0/token" },
      scopes: [VAULT],
    });
    expect(entryOf(`${REGISTRY}, repositories: [acme/app]`)?.mint).toMatchObject({ actions: ["pull"] });
  });
});

test.each([
  [`${GITHUB}, repositories: [acme/docs], permissions: all`, /repositories/],
  [`${GITHUB}, repositories: [], permissions: all`, /repositories/],
  [`${GITHUB}, permissions: all`, /repositories: missing/],
  [`${GITHUB}, repositories: all, permissions: ["contents"]`, /permissions/],
  [`${GITHUB}, repositories: all, permissions: all, api: { url: "http://api.test" }`, /secrets would travel readable/],
  ["as: aws_sts_assume_role, region: everywhere, role: x", /write a region such as eu-central-1/],
  ["as: aws_sts_assume_role, region: eu-central-1, role: agents", /write an ARN such as/],
  [`${AWS}, duration_seconds: 899`, /900/],
  [`${AWS}, policy: "[]"`, /is no JSON object/],
  [`${AWS}, policy: "secret-77"`, /is no JSON object/],
  [`${AWS}, policy: '{"a":"${"x".repeat(2050)}"}'`, /AWS takes 2048: shorten it/],
  [`${AWS}, tags: { tenant: "{tennant}" }`, /\{tennant\}: nothing stands for it/],
  [`${AWS}, source_identity: "{user}"`, /\{user\}: nothing stands for it/],
  [`${AWS}, sts: { url: "https://sts.test/path" }`, /has a path, and STS has none/],
  ["as: gcp_service_account, scopes: []", /scopes/],
  ["as: gcp_self_signed_jwt", /write either audience or scopes/],
  [
    'as: gcp_self_signed_jwt, audience: "https://pubsub.googleapis.com/", scopes: [a]',
    /write either audience or scopes/,
  ],
  [`${GCP}, impersonate: { account: agent }`, /write the e-mail address/],
  [`${AZURE}, scopes: ["https://vault.azure.net"]`, /with \/\.default at its end/],
  ["as: azure_client_credentials, tenant: a/b, client_id: c, proof: certificate, scopes: []", /tenant/],
  [`${REGISTRY}, repositories: ["host.test/acme/app:1"]`, /without host and tag/],
  [`${REGISTRY}, repositories: [a], actions: ["*"]`, /actions/],
  [
    'as: registry_token, token_endpoint: { url: "https://u:secret-77@auth.test/" }, service: s, username: u, repositories: [a]',
    /user name or password/,
  ],
])("%s is refused", (mint, says) => {
  const messages = messagesOf(edgeWith(mint)).join("\n");
  expect(messages).toMatch(says);
  expect(messages).not.toContain("secret-77");
});

test.each([
  [
    `${GITHUB}, repositories: [docs], permissions: ["contents:read"]`,
    "{ repositories: [site] }",
    /not within repositories/,
  ],
  [`${GITHUB}, repositories: all, permissions: ["contents:read"]`, "{ repositories: [site] }", /has no repositories/],
  [`${REGISTRY}, repositories: [a]`, "{ actions: [push] }", /not within actions/],
  [GCP, "{ scopes: [b] }", /not within scopes/],
])("%s narrowed to %s is refused", (mint, narrow, says) => {
  expect(messagesOf(edgeWith(mint, `, narrow: ${narrow}`)).join("\n")).toMatch(says);
});

test("what a minter brings is not said otherwise", () => {
  expect(messagesOf(edgeWith(AWS, "", ", kind: token")).join("\n")).toMatch(/aws_sts_assume_role mints kind aws/);
});
