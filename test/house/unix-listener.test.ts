import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { destinationFor, type Edge, startEdge } from "./support/edge.ts";
import { bareEnv, run, type RunResult } from "./support/run.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";

/** A listener on a unix socket, as a sandbox without a network of its own is given. */

let directory = "";
let upstream: Upstream;
let edge: Edge;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-unix-"));
  upstream = await startUpstream();
  edge = await startEdge({
    hosts: { "api.test": ["127.0.0.1"] },
    destinations: [destinationFor(upstream, "api.test")],
    config: {
      listeners: [
        { name: "guests", address: `unix:${join(directory, "guests.sock")}`, session: { mode: "open", id: "local" } },
      ],
    },
  });
});

afterAll(async () => {
  await edge?.stop();
  await upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

/** curl has no proxy on a unix socket: it is told to speak to the socket, in absolute-form. */
function curl(path: string, ...args: string[]): Promise<RunResult> {
  const url = upstream.urlFor("api.test", path);
  const there = ["--unix-socket", join(directory, "guests.sock"), "--request-target", url];
  return run("curl", ["-sS", ...there, ...args, url], { env: bareEnv(directory) });
}

describe("a guest on a unix socket", () => {
  test("gets its answer", async () => {
    expect(JSON.parse((await curl("/hello")).stdout)).toMatchObject({ url: "/hello" });
  });

  test.each(["/reset?bytes=100000&after=50000", "/reset?chunked=1&after=50000"])("sees %s as broken", async (path) => {
    const result = await curl(path, "-o", "/dev/null");
    expect([18, 56]).toContain(result.code);
  });

  test("is still served afterwards", async () => {
    expect(JSON.parse((await curl("/hello")).stdout)).toMatchObject({ url: "/hello" });
    expect(edge.process.exit).toBeNull();
  });
});
