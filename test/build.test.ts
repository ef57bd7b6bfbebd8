import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GENERATED } from "../src/cli/schema.ts";
import { bareEnv, run, type RunResult } from "./house/support/run.ts";

/** `npm run build`: what the image and the package are made of runs without the sources and what they are built with. */

const root = resolve(import.meta.dirname, "..");
const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
  version: string;
  dependencies: Record<string, string>;
};
let directory = "";
let dist = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-build-"));
  dist = join(directory, "dist");
  const args = [join(root, "node_modules/rolldown/bin/cli.mjs"), "-c", "rolldown.config.ts", "--dir", dist];
  expect(await run(process.execPath, args, { cwd: root, timeoutMs: 55_000 })).toMatchObject({ code: 0, stderr: "" });
  await writeFile(join(directory, "package.json"), '{ "type": "module" }\n');
  await symlink(join(root, "node_modules"), join(directory, "node_modules"));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

function postern(...args: string[]): Promise<RunResult> {
  return run(process.execPath, [join(dist, "main.js"), ...args], { env: bareEnv(directory), cwd: directory });
}

describe("the build", () => {
  test("imports Node's modules, its own and the packages that are installed with it, and no others", async () => {
    const files = await readdir(dist);
    const imported = new Set<string>();
    for (const file of files) {
      const text = await readFile(join(dist, file), "utf8");
      const statements = text.matchAll(
        /^(?:import|export)\b[^;]*?\bfrom "([^"]+)";|^import "([^"]+)";|\bimport\("([^"]+)"\)/gm,
      );
      for (const [, from, alone, called] of statements) imported.add(from ?? alone ?? called ?? "");
      for (const [, required] of text.matchAll(/createRequire\([^)]*\)\("([^"]+)"\)/g)) imported.add(required ?? "");
    }
    const names = [...imported].filter((name) => !name.startsWith("node:"));
    const own = names.filter((name) => name.startsWith("./"));
    expect(own.filter((name) => !files.includes(name.slice(2)))).toEqual([]);
    const packages = names.filter((name) => !name.startsWith("./")).map((name) => name.split("/", 1).join());
    expect([...new Set(packages)].toSorted()).toEqual(Object.keys(manifest.dependencies).toSorted());
  });

  test("starts under plain node, each command", async () => {
    expect(await postern("--version")).toMatchObject({ code: 0, stdout: `${manifest.version}\n`, stderr: "" });
    const help = await postern("--help");
    const commands = [...help.stdout.matchAll(/^ {2}([a-z-]+)(?: \[| <| {2,})/gm)].map((match) => match[1] ?? "");
    expect(commands).toEqual(expect.arrayContaining(["serve", "guest-env"]));
    const helps = await Promise.all(commands.filter((name) => name !== "help").map((name) => postern(name, "--help")));
    for (const result of helps) expect(result).toMatchObject({ code: 0, stderr: "" });
  });

  test("writes the same schemas and pages as the sources", async () => {
    await mkdir(join(directory, "config"));
    await mkdir(join(directory, "docs"));
    expect(await postern("schema", "--write")).toMatchObject({ code: 0, stderr: "" });
    for (const path of Object.keys(GENERATED))
      expect(await readFile(join(directory, path), "utf8"), path).toBe(await readFile(join(root, path), "utf8"));
  });

  test("finds the program that reads a config in a process of its own", async () => {
    const file = join(directory, "postern.yaml");
    await writeFile(file, "listen: []\n");
    const result = await postern("serve", "--config", file);
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toContain("postern.yaml:1");
  });
});
