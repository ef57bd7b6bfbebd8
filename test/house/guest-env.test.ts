import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeCa } from "./support/certificates.ts";
import { REAL_CLIENTS } from "./support/clients.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { makeRepository } from "./support/git-backend.ts";
import { root } from "./support/postern-process.ts";
import { bareEnv, isPresent, run } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/**
 * A guest that knows nothing but what `postern guest-env` printed: real clients reach an upstream through the edge, with the
 * credential attached, and trust the edge's CA by those variables and files alone.
 */

let directory = "";
let upstream: Upstream;
let edge: Edge;
let env: Record<string, string> = {};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-house-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  await makeRepository(directory, "sample");
  upstream = await startUpstream({
    tls: await ca.issue(["api.test"]),
    demand: { in: "header", name: "authorization", value: "Bearer right" },
    gitRoot: directory,
  });
  edge = await startEdge({
    hosts: { "api.test": ["127.0.0.1"] },
    extraRoots: [ca.certificateFile],
    env: { UPSTREAM_TOKEN: "right" },
    credentials: [
      { name: "api", kind: "token", source: { env: "UPSTREAM_TOKEN" }, hosts: [`api.test:${upstream.port}`] },
    ],
    destinations: [destinationFor(upstream, "api.test", { credential: "main/api", attach: { as: "bearer" } })],
  });
  const args = [
    "guest-env",
    "--config",
    edge.configFile,
    "--format",
    "json",
    "--java",
    "--out",
    join(directory, "guest"),
  ];
  const printed = await run(process.execPath, [join(root, "src/main.ts"), ...args]);
  const { env: variables } = JSON.parse(printed.stdout) as { env: Record<string, string> };
  env = { ...bareEnv(directory), ...variables };
});

beforeEach(() => upstream.reset());

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

describe("with what guest-env printed", () => {
  for (const client of REAL_CLIENTS) {
    const title = client.present ? client.name : `${client.name} (skipped: absent on this machine)`;
    test.skipIf(!client.present)(
      `${title} gets through, the credential attached`,
      async () => {
        await client.prepare?.(directory);
        const { status, body } = await client.get(upstream.urlFor("api.test", "/hello"), env, directory);
        expect(status).toBe(200);
        expect(JSON.parse(body)).toEqual({ method: "GET", url: "/hello", credential: "seen" });
        expect(upstream.requestsFor("/hello")).toHaveLength(1);
        expect(upstream.credentialless()).toBe(0);
      },
      300_000,
    );
  }

  test.skipIf(!isPresent("git"))(`git${isPresent("git") ? "" : " (skipped: absent)"} clones`, async () => {
    const clone = join(directory, "clone");
    const result = await run("git", ["clone", "-q", upstream.urlFor("api.test", "/git/sample.git"), clone], { env });
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(upstream.credentialless()).toBe(0);
    expect(await readFile(join(clone, ".git/HEAD"), "utf8")).toContain("refs/heads/main");
  });
});
