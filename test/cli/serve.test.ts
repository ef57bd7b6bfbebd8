import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePorts, root, startPostern } from "../house/support/postern-process.ts";
import { bareEnv, run, type RunResult } from "../house/support/run.ts";

/** `postern serve` from the command line to its end: how it starts, how it fails to, and what it does not load. */

let dir = "";
const main = join(root, "src/main.ts");

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "postern-serve-"));
});

afterAll(() => rm(dir, { recursive: true }));

async function config(name: string, port: number, more: object = {}): Promise<string> {
  const file = join(dir, `${name}.json`);
  const sections = {
    listeners: [{ name: "guests", address: `127.0.0.1:${port}`, session: { mode: "open" } }],
    audit: { file: join(dir, `${name}.jsonl`) },
    destinations: [],
    ...more,
  };
  await writeFile(file, JSON.stringify(sections));
  return file;
}

function serve(file: string): Promise<RunResult> {
  return run(process.execPath, [main, "serve", "--config", file], { env: bareEnv(), cwd: dir });
}

describe("a start that fails ends the process", () => {
  test("with 2 and every problem of a config, each with its place", async () => {
    const file = await config("bad", 0, { destinations: [{ name: "a" }, { name: "b", host: "*" }] });
    const { code, stderr, stdout } = await serve(file);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr.split("\n").filter((line) => line.startsWith(`${file}:1:`)).length).toBeGreaterThan(2);
    expect(stderr).toMatch(/\d problems: nothing was done\n$/);
    expect(readdirSync(dir)).not.toContain("bad.jsonl");
  });

  test("with 2 and the place of what the policy cannot mean", async () => {
    const allow = [{ methods: ["GET"], paths: ["/"], query: { "a.b": ["1"], a_b: ["2"] } }];
    const { code, stderr } = await serve(
      await config("clash", 0, { destinations: [{ name: "a", host: "a.test", scheme: "http", allow }] }),
    );
    expect(code).toBe(2);
    expect(stderr).toMatch(/clash\.json:1:\d+: destinations\[0\]\.allow\[0\]\.query\.a_b: servers take/);
    expect(readdirSync(dir)).not.toContain("clash.jsonl");
  });

  test.each([
    ["--config", ["serve", "--config", "nothing.yaml"]],
    ["-c", ["serve", "-c", "nothing.yaml"]],
    ["--config=", ["serve", "--config=nothing.yaml"]],
    ["--debug before it", ["--debug", "serve", "--config", "nothing.yaml"]],
    ["POSTERN_CONFIG", ["serve"]],
  ])("with the name of its config, however it was given: %s", async (_, words) => {
    const env = { ...bareEnv(), POSTERN_CONFIG: "nothing.yaml" };
    const { code, stderr } = await run(process.execPath, [main, ...words], { env, cwd: dir });
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^nothing\.yaml: no such file/)]);
  });

  test.each([
    [["serve", "--config"], "argument missing"],
    [["serve", "--config", "a.yaml", "b.yaml"], "too many arguments"],
    [["serve", "--colour", "a.yaml"], "unknown option"],
  ])("with 2 and a word of advice for %s", async (words, message) => {
    const { code, stderr } = await run(process.execPath, [main, ...words], { env: bareEnv(), cwd: dir });
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  test("with 2 for a file that is not there", async () => {
    expect(await serve("nothing.yaml")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^nothing\.yaml: no such file/),
    });
  });

  test("with 1 for an address in use, and nothing of it stays open", async () => {
    const other = createServer();
    await new Promise<void>((done) => other.listen(0, "127.0.0.1", done));
    const { code, stderr, timedOut } = await serve(await config("in-use", (other.address() as AddressInfo).port));
    other.close();
    expect({ code, timedOut }).toEqual({ code: 1, timedOut: false });
    expect(stderr).toContain("EADDRINUSE");
  });
});

describe("a config is read", () => {
  const ready = (output: () => string): Promise<void> => expect.poll(output).toContain('"msg":"ready"');

  test("while a file is being written that never ends, a stop is a stop", async () => {
    const [port = 0] = await freePorts(1);
    const file = await config("endless", port);
    const postern = await startPostern(["serve", "--config", file], { ready: () => accepts(port) });
    await ready(() => postern.output());
    // Nobody writes into it: whoever reads it waits. There is a config all the time.
    execFileSync("mkfifo", [`${file}.next`]);
    await rename(`${file}.next`, file);
    postern.signal("SIGHUP");
    await expect.poll(() => postern.output()).toContain('"why":"SIGHUP"');
    postern.signal("SIGTERM");
    expect(await postern.exited()).toBe(0);
    expect(postern.output()).not.toContain("not taken over");
  });

  test("from a relative path", async () => {
    const [port = 0] = await freePorts(1);
    const args = ["serve", "--config", relative(dir, await config("relative", port))];
    const postern = await startPostern(args, { ready: () => accepts(port), cwd: dir });
    await ready(() => postern.output());
    await postern.stop();
    expect(postern.exit).toEqual({ code: 0, signal: null });
  });

  test("from a descriptor that the shell has opened", async () => {
    const [port = 0] = await freePorts(1);
    const file = await config("descriptor", port);
    const script = `exec "$0" "$1" serve --config <(cat "$2")`;
    const shell = spawn("bash", ["-c", script, process.execPath, main, file], { cwd: dir, env: bareEnv() });
    let output = "";
    shell.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    await ready(() => output);
    const ended = once(shell, "exit");
    shell.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
  });
});

test("what serves holds no parser, no schema and no client that its config has no use for", () => {
  const { packages, files } = loadedBy(["src/main.ts", "src/cli/serve.ts", "src/cli/edge/edge.ts"]);
  expect(files.length).toBeGreaterThan(100);
  expect(packages).toContain("pino");
  expect(
    packages.filter((name) =>
      [
        "commander",
        "zod",
        "js-yaml",
        "undici",
        "node:http",
        "node:http2",
        "prom-client",
        "structured-headers",
      ].includes(name),
    ),
  ).toEqual([]);
});

/** Modules that the first ones load by plain imports, and the packages of all of them; types load nothing. */
function loadedBy(first: readonly string[]): { files: string[]; packages: string[] } {
  const files = new Set(first.map((file) => join(root, file)));
  const packages = new Set<string>();
  for (const file of files) {
    const imports = readFileSync(file, "utf8").matchAll(/^(?:import|export) (?!type )(?:[^;]*? from )?"([^"]+)";$/gm);
    for (const [, name = ""] of imports) {
      if (name.startsWith(".")) files.add(resolve(dirname(file), name));
      else packages.add(name);
    }
  }
  return { files: [...files], packages: [...packages] };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      done(true);
    });
    socket.once("error", () => done(false));
  });
}
