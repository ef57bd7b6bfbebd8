import type { CredentialEntry, CredentialKind } from "../../../src/core/credential.ts";
import type { MintSpec } from "../../../src/core/mint.ts";
import type { Narrowing } from "../../../src/core/narrow.ts";
import { GithubServer } from "./github-server.ts";
import type { LoopbackIssuer } from "./loopback-issuer.ts";
import { endpointOf, keyPair } from "./minting.ts";

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
  /** No lease without a narrowing. */
  readonly needsNarrowing?: true;
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

export const CLOUD_CASES: readonly CloudCase[] = [GITHUB];
