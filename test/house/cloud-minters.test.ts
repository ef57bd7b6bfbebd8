import { createHash, randomBytes } from "node:crypto";
import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GithubServer } from "../custody/support/github-server.ts";
import { keyPair } from "../custody/support/minting.ts";
import { RegistryServer } from "../custody/support/registry-server.ts";
import { makeCa } from "./support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { makeRepository, serveGit } from "./support/git-backend.ts";
import { bareEnv, isPresent, run, type RunResult } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/**
 * A guest without any credential clones, calls an API and pulls from a registry; custody mints what is needed, for one
 * repository and for what the destination names.
 */

const PASSWORD = "registry-password-d8e1f0";
const BLOB = randomBytes(100_000);
const app = keyPair("RS256");
const opened: { close: () => Promise<unknown> }[] = [];
let directory = "";
let github: GithubServer;
let tokens: RegistryServer;
let git: Upstream;
let api: Upstream;
let registry: Upstream;
let edge: Edge;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-cloud-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const gitRoot = join(directory, "repositories");
  await mkdir(gitRoot);
  for (const name of ["docs", "site"]) await makeRepository(gitRoot, name);
  const keyFile = join(directory, "app.pem");
  await writeFile(keyFile, app.privateKey, { mode: 0o600 });
  github = await new GithubServer({
    clientId: "Iv23li",
    publicKey: app.publicKey,
    installation: "7",
    repositories: ["docs", "site"],
    permissions: { contents: "write" },
  }).listen();
  github.stateless = true;
  tokens = await new RegistryServer({
    service: "registry.test",
    username: "robot",
    password: PASSWORD,
    repositories: ["acme/app", "acme/other"],
  }).listen();
  git = await startUpstream({
    tls: await ca.issue(["git.test"]),
    serve: (request, response) => serveGuarded(gitRoot, request, response),
  });
  api = await startUpstream({ tls: await ca.issue(["api.test"]), serve: serveApi });
  registry = await startUpstream({ tls: await ca.issue(["registry.test"]), serve: serveRegistry });
  opened.push(git, api, registry, { close: () => github.stop() }, { close: () => tokens.stop() });
  const here = (url: string) => ({ url, plain_http: "accept" });
  const asGithub = { credential: "main/github", narrow: { repositories: ["docs"], permissions: ["contents:read"] } };
  edge = await startEdge({
    hosts: { "git.test": ["127.0.0.1"], "api.test": ["127.0.0.1"], "registry.test": ["127.0.0.1"] },
    extraRoots: [ca.certificateFile],
    env: { REGISTRY_PASSWORD: PASSWORD },
    credentials: [
      {
        name: "github",
        source: { file: keyFile },
        mint: {
          as: "github_app",
          api: here(github.origin),
          client_id: "Iv23li",
          installation: 7,
          repositories: ["docs", "site"],
          permissions: ["contents:read", "contents:write"],
        },
        hosts: [`git.test:${git.port}`, `api.test:${api.port}`],
      },
      {
        name: "images",
        source: { env: "REGISTRY_PASSWORD" },
        mint: {
          as: "registry_token",
          token_endpoint: here(`${tokens.origin}/token`),
          service: "registry.test",
          username: "robot",
          repositories: ["acme/app", "acme/other"],
          actions: ["pull", "push"],
        },
        hosts: [`registry.test:${registry.port}`],
      },
    ],
    destinations: [
      destinationFor(git, "git.test", { ...asGithub, attach: { as: "basic", username: "x-access-token" } }),
      destinationFor(api, "api.test", { ...asGithub, attach: { as: "bearer" } }),
      destinationFor(registry, "registry.test", {
        credential: "main/images",
        narrow: { repositories: ["acme/app"], actions: ["pull"] },
        attach: { as: "bearer" },
      }),
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  await Promise.all(opened.map((one) => one.close()));
  await rm(directory, { recursive: true, force: true });
});

/** As GitHub does: Basic with `x-access-token`, for what the token opens. */
function serveGuarded(root: string, request: IncomingMessage, response: ServerResponse): void {
  const [, pair = ""] = /^Basic (\S+)$/.exec(request.headers.authorization ?? "") ?? [];
  const [user, token = ""] = Buffer.from(pair, "base64").toString().split(":");
  const repository = /^\/git\/([a-z]+)\.git\//.exec(request.url ?? "")?.[1] ?? "";
  const level = (request.url ?? "").includes("receive-pack") ? "write" : "read";
  if (user === "x-access-token" && github.opens(token, repository, level)) {
    serveGit(root, request, response).catch(() => response.destroy());
    return;
  }
  request.resume();
  response.writeHead(404).end();
}

function serveApi(request: IncomingMessage, response: ServerResponse): void {
  const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  const repository = /^\/repos\/acme\/([a-z]+)$/.exec(request.url ?? "")?.[1] ?? "";
  const isOpen = github.opens(token, repository);
  response.writeHead(isOpen ? 200 : 404, { "content-type": "application/json" });
  response.end(JSON.stringify(isOpen ? { full_name: `acme/${repository}` } : { message: "Not Found" }));
}

const DIGEST = `sha256:${createHash("sha256").update(BLOB).digest("hex")}`;

function serveRegistry(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  const [, repository = "", what = ""] = /^\/v2\/(.+?)\/(manifests|blobs)\//.exec(request.url ?? "") ?? [];
  const action = request.method === "GET" || request.method === "HEAD" ? "pull" : "push";
  if (!tokens.allows(token, repository, action)) {
    // Whatever it says of where to get one: nobody goes there.
    const realm = `Bearer realm="https://elsewhere.test/token",service="registry.test",scope="repository:${repository}:${action}"`;
    response.writeHead(401, { "www-authenticate": realm }).end();
    return;
  }
  if (what === "blobs") response.writeHead(200, { "content-type": "application/octet-stream" }).end(BLOB);
  else response.writeHead(200, { "content-type": "application/vnd.oci.image.manifest.v1+json" }).end(manifest());
}

function manifest(): string {
  return JSON.stringify({ schemaVersion: 2, layers: [{ digest: DIGEST, size: BLOB.length }] });
}

function gitRun(...args: string[]): Promise<RunResult> {
  const identity = ["-c", "user.name=guest", "-c", "user.email=guest@example.com"];
  return run("git", [...identity, ...args], { cwd: directory, env: edge.guestEnv(), timeoutMs: 55_000 });
}

function curl(...args: string[]): Promise<RunResult> {
  return run("curl", ["-sS", ...args], { env: edge.guestEnv() });
}

const noGit = !isPresent("git");
const noCurl = !isPresent("curl");

describe.skipIf(noGit)(`git with an installation token${noGit ? " (skipped: git is absent)" : ""}`, () => {
  test("clones the one repository that the destination names", async () => {
    const result = await gitRun("clone", "-q", git.urlFor("git.test", "/git/docs.git"), "docs");
    expect(result.stderr).toBe("");
    await access(join(directory, "docs", ".git"));
    expect(github.issued.map(({ asked }) => asked)).toEqual([
      { repositories: ["docs"], permissions: { contents: "read" } },
    ]);
  });

  test("gets neither another repository of the entry, nor may it push to this one", async () => {
    const other = await gitRun("clone", "-q", git.urlFor("git.test", "/git/site.git"), "site");
    expect(other.code).not.toBe(0);
    const work = join(directory, "docs");
    await gitRun("-C", work, "commit", "-q", "--allow-empty", "-m", "Second");
    const push = await gitRun("-C", work, "push", "-q", "origin", "main");
    expect(push.code).not.toBe(0);
    const result = await run("git", ["-C", join(directory, "repositories", "docs.git"), "log", "--format=%s", "main"], {
      env: bareEnv(directory),
    });
    expect(result.stdout).toBe("First\n");
  });
});

describe.skipIf(noCurl)(`curl${noCurl ? " (skipped: curl is absent)" : ""}`, () => {
  test("calls the API with the same token, which it never sees", async () => {
    const open = await curl(api.urlFor("api.test", "/repos/acme/docs"));
    expect(open.stdout).toBe('{"full_name":"acme/docs"}');
    const shut = await curl(api.urlFor("api.test", "/repos/acme/site"));
    expect(shut.stdout).toBe('{"message":"Not Found"}');
    expect(new Set(github.issued.map(({ asked }) => JSON.stringify(asked))).size).toBe(1);
  });

  test("pulls a manifest and its layer, of the one image that the destination names", async () => {
    const of = (image: string, rest: string): string => registry.urlFor("registry.test", `/v2/${image}/${rest}`);
    const read = await curl(of("acme/app", "manifests/latest"));
    expect(read.stdout).toBe(manifest());
    const layer = await curl("-L", of("acme/app", `blobs/${DIGEST}`));
    expect(`sha256:${layer.stdoutSha256}`).toBe(DIGEST);
    const status = ["-o", join(directory, "answer"), "-w", "%{http_code}"];
    expect((await curl(...status, of("acme/other", "manifests/latest"))).stdout).toBe("401");
    const put = ["-X", "PUT", "--data", "{}", ...status];
    expect((await curl(...put, of("acme/app", "manifests/latest"))).stdout).toBe("401");
    expect(new Set(tokens.issued.map(({ asked }) => JSON.stringify(asked)))).toEqual(
      new Set([JSON.stringify({ scopes: ["repository:acme/app:pull"] })]),
    );
  });
});

test("the audit tells what was leased, and nothing that was secret", async () => {
  const text = JSON.stringify(await edge.audit());
  expect(text).toContain("contents:read");
  const secrets = [...github.issued, ...tokens.issued].map(({ secret }) => secret);
  for (const secret of [...secrets, PASSWORD]) expect(text.includes(secret)).toBe(false);
  expect(edge.process.output().match(/PRIVATE KEY|ghs_/)).toBeNull();
});
