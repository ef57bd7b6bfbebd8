import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { run, type RunResult } from "./support/run.ts";
import { valuesOf } from "./support/recording.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** `mode: report` lets through what would be denied, never with a credential, and counts it. */

let upstream: Upstream;
let edge: Edge;

beforeAll(async () => {
  upstream = await startUpstream();
  edge = await startEdge({
    hosts: { "report.test": ["127.0.0.1"] },
    env: { THE_TOKEN: "report-token" },
    credentials: [
      { name: "api", kind: "token", source: { env: "THE_TOKEN" }, hosts: [`report.test:${upstream.port}`] },
    ],
    destinations: [
      destinationFor(upstream, "report.test", {
        name: "trial",
        mode: "report",
        allow: [{ methods: ["GET"], paths: ["/allowed/**"] }],
        credential: "main/api",
        attach: { as: "bearer" },
        plain_http_credential: "accept",
      }),
    ],
  });
});

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
});

beforeEach(() => upstream.reset());

function curl(path: string, ...args: string[]): Promise<RunResult> {
  const url = upstream.urlFor("report.test", path);
  return run("curl", ["-sS", "-o", "/dev/null", "-w", "%{http_code}", ...args, url], { env: edge.guestEnv() });
}

async function wouldDeny(): Promise<Record<string, number>> {
  const lines = (await edge.metrics()).matchAll(/^postern_would_deny_total\{(.*)\} (\d+)$/gm);
  return Object.fromEntries(
    [...lines].map(([, labels = "", count]) => [/code="([^"]*)"/.exec(labels)?.[1] ?? "", Number(count)]),
  );
}

describe("report mode", () => {
  test("what is allowed has its credential", async () => {
    expect((await curl("/allowed/a")).stdout).toBe("200");
    expect(valuesOf(upstream.requests[0]!, "authorization")).toEqual(["Bearer report-token"]);
    expect(await wouldDeny()).toEqual({});
  });

  test("what is not goes through without one, neither the edge's nor a guest's place for it, and is counted", async () => {
    expect((await curl("/other", "-H", "Authorization: Bearer mine")).stdout).toBe("200");
    expect((await curl("/allowed/a", "-X", "DELETE")).stdout).toBe("200");
    for (const request of upstream.requests) expect(valuesOf(request, "authorization")).toEqual([]);
    expect(upstream.requests.map(({ method, url }) => `${method} ${url}`)).toEqual(["GET /other", "DELETE /allowed/a"]);
    await expect.poll(wouldDeny).toEqual({ path_not_allowed: 1, method_not_allowed: 1 });
  });

  test("the record says so", async () => {
    await expect
      .poll(async () => (await edge.audit()).filter((record) => record["decision"] === "report"))
      .toEqual([
        expect.objectContaining({ would_deny: "path_not_allowed", path: "/other", destination: "trial" }),
        expect.objectContaining({ would_deny: "method_not_allowed", path: "/allowed/a", destination: "trial" }),
      ]);
  });

  test("a host that no destination names is denied as ever", async () => {
    const other = upstream.urlFor("other.test", "/allowed/a");
    const result = await run("curl", ["-sS", "-w", "%{http_code}", "-o", "/dev/null", other], { env: edge.guestEnv() });
    expect(result.stdout).toBe("403");
    expect(upstream.requests).toEqual([]);
  });
});
