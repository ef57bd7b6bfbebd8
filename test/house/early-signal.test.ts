import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startEdge } from "./support/edge.ts";
import { root } from "./support/postern-process.ts";
import { bareEnv, run } from "./support/run.ts";

/** A signal that comes while the edge is being put together is no other than one that comes later. */

describe("SIGTERM", () => {
  test.each([1, 2, 3])("as soon as /readyz says ready (%i): a drain, exit code 0", async () => {
    const edge = await startEdge();
    edge.process.signal("SIGTERM");
    await edge.process.exited();
    const { exit } = edge.process;
    await edge.stop();
    expect(exit).toEqual({ code: 0, signal: null });
  });
});

describe("SIGTERM while the config is read", () => {
  test("ends a reading that hangs, and the edge with exit code 0", async () => {
    const directory = await mkdtemp(join(tmpdir(), "postern-early-"));
    const config = join(directory, "config");
    // Nobody writes to it: whoever opens it waits.
    expect((await run("mkfifo", [config])).code).toBe(0);
    const edge = spawn(process.execPath, [join(root, "src/main.ts"), "serve", "--config", config], {
      env: bareEnv(),
      stdio: "ignore",
    });
    const ended = once(edge, "close");
    const reader = await expectReader(edge.pid ?? 0);
    edge.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
    await expect.poll(() => existsSync(`/proc/${reader}`)).toBe(false);
    await rm(directory, { recursive: true, force: true });
  });
});

/** The pid of the reading process, once there is one. */
async function expectReader(edge: number): Promise<string> {
  const children = async (): Promise<string> => (await readFile(`/proc/${edge}/task/${edge}/children`, "utf8")).trim();
  await expect.poll(children, { timeout: 30_000, interval: 5 }).not.toBe("");
  return children();
}

describe("SIGHUP", () => {
  test.each([1, 2, 3])("as soon as /readyz says ready (%i) does not end the edge", async () => {
    const edge = await startEdge();
    edge.process.signal("SIGHUP");
    edge.process.signal("SIGTERM");
    await edge.process.exited();
    const { exit } = edge.process;
    await edge.stop();
    expect(exit).toEqual({ code: 0, signal: null });
  });
});

describe("SIGHUP while the edge starts", () => {
  test("is kept: the config is read anew once there is one", async () => {
    const edge = await startEdge();
    await edge.process.stop();
    const auditFile = join(edge.directory, "audit.jsonl");
    await rm(auditFile);
    const again = spawn(process.execPath, [join(root, "src/main.ts"), "serve", "--config", edge.configFile], {
      env: bareEnv(),
      stdio: ["ignore", "pipe", "ignore"],
    });
    // The audit file is opened first of all, long before anything listens.
    await expect.poll(() => existsSync(auditFile), { timeout: 30_000, interval: 1 }).toBe(true);
    again.kill("SIGHUP");
    let output = "";
    again.stdout.on("data", (chunk: Buffer) => (output += chunk.toString("utf8")));
    await expect.poll(() => output, { timeout: 30_000, interval: 5 }).toContain("reading the config anew");
    again.kill("SIGTERM");
    await once(again, "close");
    await edge.stop();
    expect(output).toMatch(/"ready".*"why":"SIGHUP"/s);
    expect({ code: again.exitCode, signal: again.signalCode }).toEqual({ code: 0, signal: null });
  });
});

describe("SIGINT", () => {
  test("while the demo starts leaves nothing behind", async () => {
    const temporary = await mkdtemp(join(tmpdir(), "postern-early-"));
    const env = { ...bareEnv(temporary), TMPDIR: temporary };
    const demo = spawn(process.execPath, [join(root, "src/main.ts"), "dev", "--port", "0"], { env, stdio: "ignore" });
    await expect.poll(() => readdir(temporary), { timeout: 30_000, interval: 1 }).not.toEqual([]);
    demo.kill("SIGINT");
    await once(demo, "close");
    expect(await readdir(temporary)).toEqual([]);
    await rm(temporary, { recursive: true, force: true });
  });
});
