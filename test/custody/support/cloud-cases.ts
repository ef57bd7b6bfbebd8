import type { CredentialEntry, CredentialKind } from "../../../src/core/credential.ts";
import type { MintSpec } from "../../../src/core/mint.ts";
import type { Narrowing } from "../../../src/core/narrow.ts";
import { EntraServer, selfSigned } from "./entra-server.ts";
import { GithubServer } from "./github-server.ts";
import { GoogleServer } from "./google-server.ts";
import type { LoopbackIssuer } from "./loopback-issuer.ts";
import { endpointOf, keyPair } from "./minting.ts";
import { RegistryServer } from "./registry-server.ts";
import { StsServer } from "./sts-server.ts";

/** One minter of a cloud or registry over an issuer that verifies for real. */
export interface CloudCase {
  readonly name: string;
  readonly server: () => LoopbackIssuer;
  readonly root: string;
  /** Parts of the root that nothing may show. */
  readonly hidden: RegExp;
  readonly mint: (origin: string, timeoutMs?: number) => MintSpec;
  readonly entry?: Partial<CredentialEntry>;
  readonly kind: CredentialKind;
  readonly perSession: boolean;
  /** What a lease is narrowed to, and what the issuer then understands. */
  readonly narrow: Narrowing;
  readonly narrowed: Readonly<Record<string, unknown>>;
  /** Of the catalogue, and outside of what the entry has. */
  readonly outside: readonly Narrowing[];
  /** Requests that one mint is. */
  readonly calls: number;
  /** An answer of the last of them that is well but for one thing, and what an operator reads. */
  readonly lies: readonly (readonly [name: string, status: number, json: unknown, says: RegExp])[];
}

/** What lies say that nobody may repeat. */
export const LEAK = "said-by-the-issuer-77aa";
const inAnHour = (): string => new Date(Date.now() + 3_600_000).toISOString();

const app = keyPair("RS256");
const PEM = /BEGIN|PRIVATE|MII/;

const GITHUB: CloudCase = {
  name: "GitHub App",
  server: () =>
    new GithubServer({
      clientId: "Iv23liTESTTESTTEST",
      publicKey: app.publicKey,
      installation: "4711",
      repositories: ["docs", "site", "secret"],
      permissions: { contents: "write", issues: "write" },
    }),
  root: app.privateKey,
  hidden: PEM,
  mint: (origin, timeoutMs) => ({
    as: "github_app",
    endpoint: endpointOf(origin, timeoutMs),
    clientId: "Iv23liTESTTESTTEST",
    installation: "4711",
    repositories: ["docs", "site"],
    permissions: ["contents:read", "contents:write", "issues:read"],
  }),
  kind: "token",
  perSession: false,
  narrow: { repositories: ["docs"], permissions: ["contents:read"] },
  narrowed: { repositories: ["docs"], permissions: { contents: "read" } },
  outside: [
    { repositories: ["secret"] },
    { repositories: ["docs", "secret"] },
    { permissions: ["contents:admin"] },
    { permissions: [] },
    { scopes: ["x"] },
    { constructor: ["x"] },
  ],
  calls: 1,
  lies: [
    ["gives no token", 201, { expires_at: inAnHour() }, /without a token/],
    ["gives a token of two lines", 201, { token: `${LEAK}\r\nx: y`, expires_at: inAnHour() }, /without a token/],
    ["gives a token of 2 KB and more", 201, { token: LEAK.repeat(90), expires_at: inAnHour() }, /without a token/],
    ["tells no end", 201, { token: LEAK }, /without an expires_at/],
    ["tells an end of words", 201, { token: LEAK, expires_at: LEAK }, /without an expires_at/],
    ["gives what has expired", 201, { token: LEAK, expires_at: "2020-01-01T00:00:00Z" }, /expire/],
    ["says 200", 200, { token: LEAK, expires_at: inAnHour() }, /status 200/],
    ["knows no app", 401, { message: LEAK }, /\(401\): check client_id and the key, and compare the clocks/],
    ["has suspended it", 403, { message: LEAK }, /\(403\): it is suspended/],
    ["knows no installation", 404, { message: LEAK }, /\(404\): check installation/],
    ["grants less", 422, { message: LEAK }, /\(422\): check repositories and permissions/],
    [
      "grants more repositories",
      201,
      { token: LEAK, expires_at: inAnHour(), repositories: [{ name: "docs" }, { name: "secret" }] },
      /for more than was asked for/,
    ],
    [
      "grants all repositories",
      201,
      { token: LEAK, expires_at: inAnHour(), repository_selection: "all" },
      /for more than was asked for/,
    ],
    [
      "grants more permissions",
      201,
      { token: LEAK, expires_at: inAnHour(), permissions: { contents: "admin" } },
      /for more than was asked for/,
    ],
    [
      "grants permissions of words",
      201,
      { token: LEAK, expires_at: inAnHour(), permissions: { contents: LEAK } },
      /for more than was asked for/,
    ],
  ],
};

const ROLE = "arn:aws:iam::123456789012:role/agents";
const READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess";
const OBJECTS = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess";
const AWS_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

function stsAnswer(change: Record<string, unknown>): unknown {
  const Credentials = {
    AccessKeyId: "ASIAEXAMPLEEXAMPLE",
    SecretAccessKey: LEAK,
    SessionToken: LEAK,
    Expiration: Math.floor(Date.now() / 1000) + 3600,
    ...change,
  };
  return { AssumeRoleResponse: { AssumeRoleResult: { Credentials } } };
}
const stsError = (Code: string): unknown => ({ Error: { Code, Message: LEAK, Type: "Sender" } });

const AWS: CloudCase = {
  name: "AWS STS",
  server: () =>
    new StsServer({
      region: "eu-central-1",
      keys: { AKIDEXAMPLEEXAMPLE: { secret: AWS_SECRET } },
      role: ROLE,
      externalId: "ext-1",
    }),
  root: JSON.stringify({ access_key_id: "AKIDEXAMPLEEXAMPLE", secret_access_key: AWS_SECRET }),
  hidden: /wJalr/,
  mint: (origin, timeoutMs) => ({
    as: "aws_sts_assume_role",
    endpoint: endpointOf(`${origin}/`, timeoutMs),
    region: "eu-central-1",
    role: ROLE,
    durationSeconds: 3600,
    policy: '{"Version":"2012-10-17","Statement":[]}',
    policyArns: [READ_ONLY, OBJECTS],
    externalId: "ext-1",
    sourceIdentity: "{tenant}",
    tags: { tenant: "{tenant}" },
  }),
  kind: "aws",
  perSession: true,
  narrow: { policy_arns: [OBJECTS] },
  narrowed: { arns: [OBJECTS], policy: '{"Version":"2012-10-17","Statement":[]}', name: "s1" },
  outside: [
    { policy_arns: ["arn:aws:iam::aws:policy/AdministratorAccess"] },
    { policy_arns: [] },
    { scopes: ["x"] },
    { constructor: ["x"] },
  ],
  calls: 1,
  lies: [
    ["answers something else", 200, { AssumeRoleResponse: { LEAK } }, /no answer of STS/],
    ["answers another action", 200, { GetCallerIdentityResponse: { LEAK } }, /no answer of STS/],
    ["gives no session token", 200, stsAnswer({ SessionToken: null }), /without keys/],
    ["gives keys of two lines", 200, stsAnswer({ SecretAccessKey: `${LEAK}\r\nx: y` }), /without keys/],
    ["gives a key id of words", 200, stsAnswer({ AccessKeyId: `a/${LEAK}` }), /without keys/],
    ["tells no end", 200, stsAnswer({ Expiration: null }), /without an Expiration/],
    ["tells an end of words", 200, stsAnswer({ Expiration: LEAK }), /without an Expiration/],
    ["gives what has expired", 200, stsAnswer({ Expiration: 1_500_000_000 }), /expire/],
    ["denies", 403, stsError("AccessDenied"), /\(AccessDenied\): allow sts:AssumeRole/],
    ["says that the root has expired", 403, stsError("ExpiredToken"), /\(ExpiredToken\): the root has expired/],
    ["is not active", 403, stsError("RegionDisabledException"), /\(RegionDisabledException\): STS is not active/],
    ["finds the policy too large", 400, stsError("PackedPolicyTooLarge"), /\(PackedPolicyTooLarge\): shorten/],
    ["is asked too often", 400, stsError("Throttling"), /too often \(throttled, 400\)/],
    ["has another clock", 403, stsError("RequestExpired"), /compare the clocks/],
    ["says a word of its own", 403, stsError(LEAK), /status 403/],
    ["says a word of every object", 403, stsError("constructor"), /status 403/],
  ],
};

const google = keyPair("RS256");
const ROBOT = "robot@project.iam.gserviceaccount.com";
const AGENT = "agent@project.iam.gserviceaccount.com";
const SCOPES = ["https://www.googleapis.com/auth/pubsub", "https://www.googleapis.com/auth/devstorage.read_only"];
const googleServer = () =>
  new GoogleServer({ email: ROBOT, publicKey: google.publicKey, keyId: "gk1", actsFor: [AGENT] });
const googleRoot = JSON.stringify({
  type: "service_account",
  client_email: ROBOT,
  private_key: google.privateKey,
  private_key_id: "gk1",
  // Whoever writes the root does not say where it goes.
  token_uri: "https://elsewhere.test/token",
});
const outsideOfScopes: readonly Narrowing[] = [
  { scopes: ["https://www.googleapis.com/auth/cloud-platform"] },
  { scopes: [SCOPES.join(" ")] },
  { scopes: [] },
  { audiences: ["x"] },
  { constructor: ["x"] },
];
const bearer = { access_token: LEAK, token_type: "Bearer", expires_in: 3600 };

/** What every OAuth 2.0 token endpoint may say. */
const TOKEN_LIES: CloudCase["lies"] = [
  ["gives no token", 200, { ...bearer, access_token: null }, /without an access_token/],
  ["gives a token of two lines", 200, { ...bearer, access_token: `${LEAK}\r\nx: y` }, /what no field can carry/],
  ["gives another token type", 200, { ...bearer, token_type: LEAK }, /token_type that is not bearer/],
  ["gives what has expired", 200, { ...bearer, expires_in: 0 }, /has expired/],
];

const GCP: CloudCase = {
  name: "GCP service account",
  server: googleServer,
  root: googleRoot,
  hidden: PEM,
  mint: (origin, timeoutMs) => ({
    as: "gcp_service_account",
    endpoint: endpointOf(`${origin}/token`, timeoutMs),
    scopes: SCOPES,
    impersonate: null,
  }),
  kind: "token",
  perSession: false,
  narrow: { scopes: SCOPES.slice(1) },
  narrowed: { scopes: SCOPES.slice(1) },
  outside: outsideOfScopes,
  calls: 1,
  lies: [
    ...TOKEN_LIES,
    ["takes no such key", 400, { error: "invalid_grant", error_description: LEAK }, /\(invalid_grant\)/],
  ],
};

const iamError = (status: string): unknown => ({ error: { code: 400, message: LEAK, status } });

const GCP_IMPERSONATED: CloudCase = {
  ...GCP,
  name: "GCP service account that acts for another one",
  mint: (origin, timeoutMs) => ({
    as: "gcp_service_account",
    endpoint: endpointOf(`${origin}/token`, timeoutMs),
    scopes: SCOPES,
    impersonate: { endpoint: endpointOf(origin, timeoutMs), account: AGENT, delegates: [ROBOT], lifetimeSeconds: 3600 },
  }),
  narrowed: {
    scopes: SCOPES.slice(1),
    account: AGENT,
    delegates: [`projects/-/serviceAccounts/${ROBOT}`],
    seconds: 3600,
  },
  calls: 2,
  lies: [
    ["gives no token", 200, { expireTime: inAnHour() }, /without an accessToken/],
    ["tells no end", 200, { accessToken: LEAK }, /without an expireTime/],
    ["tells an end of words", 200, { accessToken: LEAK, expireTime: LEAK }, /without an expireTime/],
    ["gives what has expired", 200, { accessToken: LEAK, expireTime: "2020-01-01T00:00:00Z" }, /expire/],
    ["denies", 403, iamError("PERMISSION_DENIED"), /\(PERMISSION_DENIED\): give the root's account/],
    ["knows no such account", 404, iamError("NOT_FOUND"), /\(NOT_FOUND\): check impersonate.account/],
    ["knows no such scope", 400, iamError("INVALID_ARGUMENT"), /\(INVALID_ARGUMENT\): check scopes/],
    ["has no quota left", 429, iamError("RESOURCE_EXHAUSTED"), /too often \(429\)/],
    ["says a word of its own", 400, iamError(LEAK), /status 400/],
    ["says a word of every object", 400, iamError("constructor"), /status 400/],
  ],
};

const RESOURCES = ["https://vault.azure.net/.default", "https://management.azure.com/.default"];
const AZURE_SECRET = "Abc8Q~azure-secret";
const application = selfSigned();
const FEDERATED = "eyJhbGciOi.federated-token.0";

function azure(
  name: string,
  root: string,
  proof: "client_secret" | "certificate" | "federated_token",
  hidden: RegExp,
): CloudCase {
  return {
    name,
    server: () =>
      new EntraServer({
        tenant: "contoso.test",
        clientId: "11111111-2222-3333-4444-555555555555",
        secret: AZURE_SECRET,
        certificate: application.certificate,
        federated: FEDERATED,
        resources: RESOURCES,
      }),
    root,
    hidden,
    mint: (origin, timeoutMs) => ({
      as: "azure_client_credentials",
      endpoint: endpointOf(`${origin}/contoso.test/oauth2/v2.0/token`, timeoutMs),
      clientId: "11111111-2222-3333-4444-555555555555",
      proof,
      scopes: RESOURCES.slice(0, 1),
    }),
    kind: "token",
    perSession: false,
    narrow: { scopes: RESOURCES.slice(0, 1) },
    narrowed: { scopes: RESOURCES.slice(0, 1) },
    outside: [
      { scopes: RESOURCES.slice(1) },
      { scopes: RESOURCES },
      { scopes: [] },
      { audiences: ["x"] },
      { constructor: ["x"] },
    ],
    calls: 1,
    lies: [
      ...TOKEN_LIES,
      [
        "says that the secret has expired",
        401,
        { error: "invalid_client", error_description: LEAK, error_codes: [7000222] },
        /\(AADSTS7000222\): the client secret has expired/,
      ],
      [
        "knows no such resource",
        400,
        { error: "invalid_resource", error_codes: [500011] },
        /\(AADSTS500011\): the tenant knows no such resource/,
      ],
      ["says a code of its own", 400, { error: LEAK, error_codes: [12345] }, /\(AADSTS12345\): look it up/],
      ["says a code of words", 400, { error: LEAK, error_codes: [LEAK] }, /status 400/],
    ],
  };
}

const REGISTRY_SECRET = "dckr_pat_registry-secret";

const REGISTRY: CloudCase = {
  name: "registry token",
  server: () =>
    new RegistryServer({
      service: "registry.test",
      username: "robot$ci",
      password: REGISTRY_SECRET,
      repositories: ["library/alpine", "acme/app", "acme/other"],
    }),
  root: REGISTRY_SECRET,
  hidden: /dckr_pat|registry-secret/,
  mint: (origin, timeoutMs) => ({
    as: "registry_token",
    endpoint: endpointOf(`${origin}/token`, timeoutMs),
    service: "registry.test",
    username: "robot$ci",
    repositories: ["library/alpine", "acme/app"],
    actions: ["pull", "push"],
  }),
  kind: "token",
  perSession: false,
  narrow: { repositories: ["acme/app"], actions: ["pull"] },
  narrowed: { scopes: ["repository:acme/app:pull"] },
  outside: [
    { repositories: ["acme/other"] },
    { repositories: ["acme/app:push"] },
    { actions: ["delete"] },
    { actions: [] },
    { scopes: ["x"] },
    { constructor: ["x"] },
  ],
  calls: 1,
  lies: [
    ["gives no token", 200, { expires_in: 300 }, /without a token/],
    ["gives a token that is no text", 200, { token: { LEAK } }, /without a token/],
    ["gives two tokens", 200, { token: LEAK, access_token: `${LEAK}2` }, /two tokens that differ/],
    ["gives a token of two lines", 200, { token: `${LEAK}\r\nx: y` }, /what no field can carry/],
    ["gives what has expired", 200, { token: LEAK, expires_in: 0 }, /has expired/],
    ["gives what expired by its date", 200, { token: LEAK, issued_at: "2020-01-01T00:00:00Z" }, /expire/],
    ["tells a life of words", 200, { token: LEAK, expires_in: LEAK }, /expires_in that is no number/],
    ["knows no such user", 401, { details: LEAK }, /\(401\): check username and the root/],
    ["denies", 403, { details: LEAK }, /\(403\): let the user have/],
    ["knows no such repository", 404, { details: LEAK }, /\(404\): check repositories/],
  ],
};

export const CLOUD_CASES: readonly CloudCase[] = [
  GITHUB,
  AWS,
  GCP,
  GCP_IMPERSONATED,
  azure("Azure, client secret", AZURE_SECRET, "client_secret", /Abc8Q|azure-secret/),
  azure("Azure, certificate", `${application.certificate}\n${application.privateKey}`, "certificate", PEM),
  azure("Azure, federated token", FEDERATED, "federated_token", /federated-token/),
  REGISTRY,
];
