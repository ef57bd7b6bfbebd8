import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeCa } from "./support/certificates.ts";
import { startCustody } from "./support/custody.ts";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { run } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** The harness itself: a real edge starts on a config of its own, carries one request, and is gone afterwards. */

let directory = "";
let upstream: Upstream;
let edge: Edge;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-harness-"));
  const ca = await makeCa(join(directory, "upstream-ca"), "Upstream CA");
  const leaf = await ca.issue(["api.test"]);
  upstream = await startUpstream({
    tls: leaf,
    demand: { in: "header", name: "authorization", value: "Bearer right" },
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
});

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

describe("the harness", () => {
  test("carries one request from a real client, with the credential attached", async () => {
    const result = await run("curl", ["-sS", upstream.urlFor("api.test", "/hello")], { env: edge.guestEnv() });
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(result.stdout)).toMatchObject({ url: "/hello", credential: "seen" });
    expect(upstream.credentialless()).toBe(0);
    expect(await edge.metrics()).toContain("postern_");
  });

  test("sees what is refused, and that the upstream saw nothing of it", async () => {
    upstream.reset();
    const args = ["-sS", "-o", "/dev/null", "-D", "-", `https://other.test:${upstream.port}/`];
    const result = await run("curl", args, { env: edge.guestEnv() });
    expect(result.stdout).toContain("x-deny-reason: destination_not_allowed");
    expect(upstream.connections).toBe(0);
  });

  test("tells why an edge did not start", async () => {
    await expect(startEdge({ config: { nonsense: true } })).rejects.toThrow(/exited[\s\S]*nonsense/);
  });

  test("joins a custody process", async () => {
    const plain = await startUpstream({ demand: { in: "header", name: "x-key", value: "right" } });
    const authority = `plain.test:${plain.port}`;
    const custody = await startCustody({
      credentials: [{ name: "api", kind: "token", source: { env: "TOKEN" }, hosts: [authority] }],
      env: { TOKEN: "right" },
    });
    const joined = await startEdge({
      hosts: { "plain.test": ["127.0.0.1"] },
      custody: { main: { remote: { address: custody.address } } },
      destinations: [
        destinationFor(plain, "plain.test", {
          credential: "main/api",
          attach: { as: "header", name: "x-key", format: "{token}" },
          plain_http_credential: "accept",
        }),
      ],
    });
    const result = await run("curl", ["-sS", plain.urlFor("plain.test", "/")], { env: joined.guestEnv() });
    expect(JSON.parse(result.stdout)).toMatchObject({ credential: "seen" });
    await joined.stop();
    await custody.stop();
    expect(custody.process.exit).toEqual({ code: 0, signal: null });
    await plain.close();
  });

  test("ends it cleanly", async () => {
    await edge.process.stop();
    expect(edge.process.exit).toEqual({ code: 0, signal: null });
  });
});
