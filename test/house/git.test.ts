import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeCa } from "./support/certificates.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { makeRepository } from "./support/git-backend.ts";
import { isPresent, run, type RunResult } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** git over HTTPS: the guest has no password, and clones and pushes with the one that the edge attaches as Basic. */

const PASSWORD = "hunter2-d8e1f0";
let directory = "";
let upstream: Upstream;
let plain: Upstream;
let edge: Edge;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-git-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const gitRoot = join(directory, "repositories");
  await mkdir(gitRoot);
  await makeRepository(gitRoot, "sample");
  const value = `Basic ${Buffer.from(`robot:${PASSWORD}`).toString("base64")}`;
  const demand = { in: "header", name: "authorization", value } as const;
  upstream = await startUpstream({ tls: await ca.issue(["git.test"]), demand, gitRoot });
  plain = await startUpstream({ demand, gitRoot });
  const credential = { credential: "main/git", attach: { as: "basic" } };
  edge = await startEdge({
    hosts: { "git.test": ["127.0.0.1"] },
    extraRoots: [ca.certificateFile],
    env: { GIT_PASSWORD: PASSWORD },
    credentials: [
      {
        name: "git",
        kind: "userpass",
        username: "robot",
        source: { env: "GIT_PASSWORD" },
        hosts: [`git.test:${upstream.port}`, `git.test:${plain.port}`],
      },
    ],
    destinations: [
      destinationFor(upstream, "git.test", { ...credential, name: "git-https" }),
      destinationFor(plain, "git.test", { ...credential, name: "git-http", plain_http_credential: "accept" }),
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  await Promise.all([upstream?.close(), plain?.close()]);
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  upstream.reset();
  plain.reset();
});

async function git(cwd: string, ...args: string[]): Promise<RunResult> {
  const identity = ["-c", "user.name=guest", "-c", "user.email=guest@example.com"];
  const result = await run("git", [...identity, ...args], { cwd, env: edge.guestEnv(), timeoutMs: 55_000 });
  if (result.code !== 0) throw new Error(`git ${args.join(" ")}\n${result.stderr}`);
  return result;
}

/**
 * For what does not fit git's buffer. Over HTTP/2 libcurl 7.84 to 8.1 may ask for more of a body that has ended: git then waits
 * for itself, before any server.
 */
const HTTP1 = ["-c", "http.version=HTTP/1.1"] as const;

const there = isPresent("git");

describe.skipIf(!there)(`git${there ? "" : " (skipped: git is absent)"}`, () => {
  describe.each(["https", "http"] as const)("over %s", (scheme) => {
    const server = (): Upstream => (scheme === "https" ? upstream : plain);

    test("clones, commits, pushes; a second clone has what was pushed", async () => {
      const remote = server().urlFor("git.test", "/git/sample.git");
      await git(directory, "clone", "-q", remote, `first-${scheme}`);
      const work = join(directory, `first-${scheme}`);
      await writeFile(join(work, `hello-${scheme}.txt`), "hello\n");
      await git(work, "add", ".");
      await git(work, "commit", "-q", "-m", "Second");
      await git(work, "push", "-q", "origin", "main");
      await git(directory, "clone", "-q", remote, `second-${scheme}`);
      const log = await git(join(directory, `second-${scheme}`), "log", "--format=%s", `--`, `hello-${scheme}.txt`);
      expect(log.stdout).toBe("Second\n");
      expect(server().credentialless()).toBe(0);
    });
  });

  test("pushes and clones a pack of 20 MB", async () => {
    const remote = upstream.urlFor("git.test", "/git/sample.git");
    await git(directory, "clone", "-q", remote, "large");
    const work = join(directory, "large");
    for (let i = 0; i < 5; i++) await writeFile(join(work, `random-${i}.bin`), randomBytes(4_000_000));
    await git(work, "add", ".");
    await git(work, "commit", "-q", "-m", "Large");
    await git(work, ...HTTP1, "push", "-q", "origin", "main:large");
    const push = upstream.requests.find(({ bodyBytes }) => bodyBytes > 20_000_000);
    expect(push).toMatchObject({ method: "POST", body: "complete", credential: true });
    // Larger than http.postBuffer: git does not know the length ahead.
    expect(push?.rawHeaders.map((text) => text.toLowerCase())).toContain("chunked");
    await git(directory, "clone", "-q", "--branch", "large", remote, "large-again");
    const same = await git(join(directory, "large-again"), "rev-parse", "HEAD");
    expect(same.stdout).toBe((await git(work, "rev-parse", "HEAD")).stdout);
    expect(upstream.credentialless()).toBe(0);
  });

  test("learns that a host is not allowed, and asks nobody for a password", async () => {
    const remote = upstream.urlFor("other.test", "/git/sample.git");
    const result = await run("git", ["clone", "-q", remote, "nowhere"], { cwd: directory, env: edge.guestEnv() });
    expect(result.code).toBe(128);
    expect(result.stderr).toContain("403");
    expect(upstream.connections).toBe(0);
  });
});
